"""What SLURM's accounting measured of the jobs of trainings and evaluations.

Every training and evaluation that runs as a job writes the job's number beside the benchmarks
(`common.slurm.write_down_job`); `sacct` tells what the job used. All tries count, also those that
were killed or preempted. Where there is no sacct, or it knows none of the jobs, there are no such
costs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.slurm import JOBS_FOLDER
from ssl_ood.study.runs import Run

ANSWER_SECONDS = 60
FIELDS = ("JobIDRaw", "ElapsedRaw", "TotalCPU", "MaxRSS")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
COLUMNS = ("slurm_jobs", "slurm_hours", "slurm_cpu_hours", "slurm_peak_gb")

Job = tuple[str, str]  # (cluster, number)


@dataclass(frozen=True)
class Used:
    """What a job used, all times together that SLURM started it."""

    seconds: float  # by the clock
    cpu_seconds: float
    peak_bytes: int  # resident memory of the largest of its tasks

    def __add__(self, other: Used) -> Used:
        return Used(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_bytes, other.peak_bytes),
        )


NOTHING = Used(0.0, 0.0, 0)


def used_by_jobs(results: Path, runs: Iterable[Run]) -> dict[str, dict[Job, Used]]:
    """What the jobs used that sacct knows of: by the id of the run, then by job."""
    jobs = {run.id: _jobs_of(results, run.id) for run in runs}
    known: dict[Job, Used] = {}
    for cluster in sorted({cluster for found in jobs.values() for cluster, _ in found}):
        numbers = {number for found in jobs.values() for at, number in found if at == cluster}
        answer = _sacct(cluster, sorted(numbers, key=int))
        known |= {(cluster, number): used for number, used in read_sacct(answer).items()}
    return {run: {job: known[job] for job in found if job in known} for run, found in jobs.items()}


def slurm_columns(used: Mapping[str, Mapping[Job, Used]], runs: Iterable[Run]) -> dict[str, Any]:
    """The columns of a row of the costs: a job that several of the runs share counts once.

    Empty where sacct knows no job of any run, so that all rows have the same columns.
    """
    if not any(used.values()):
        return {}
    jobs = {job: one for run in runs for job, one in used[run.id].items()}
    total = sum(jobs.values(), NOTHING)
    values = (len(jobs), total.seconds / 3600, total.cpu_seconds / 3600, total.peak_bytes / 1e9)
    return dict(zip(COLUMNS, values, strict=True))


def read_sacct(answer: str) -> dict[str, Used]:
    """What every job used, by number, from lines of FIELDS with | between them.

    A job that SLURM started several times has a line for each; its steps, with a dot in their
    number, are in the job's times but have the memory.
    """
    used: dict[str, Used] = {}
    for line in answer.splitlines():
        number, elapsed, cpu, memory = line.split("|")
        job, _, step = number.partition(".")
        times = (0.0, 0.0) if step else (float(elapsed or 0), seconds_of(cpu))
        used[job] = used.get(job, NOTHING) + Used(*times, _bytes_of(memory))
    return used


def seconds_of(duration: str) -> float:
    """Of SLURM's [days-][hours:]minutes:seconds[.fraction]; 0 of nothing."""
    days, _, clock = duration.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part or 0)
    return 86400 * int(days or 0) + seconds


def _bytes_of(memory: str) -> int:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", memory)
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def _jobs_of(results: Path, run: str) -> set[Job]:
    """The jobs that the run was trained and evaluated in."""
    jobs = set()
    try:
        lines = (results / JOBS_FOLDER / f"{run}.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return jobs
    for line in lines:
        try:
            told = json.loads(line)
            jobs.add((str(told["cluster"] or ""), str(int(told["job"]))))
        except (ValueError, KeyError, TypeError):
            continue  # a line cut off by a full disk
    return jobs


def _sacct(cluster: str, numbers: list[str]) -> str:
    """What sacct says of the jobs of a cluster; nothing where it fails."""
    if not shutil.which("sacct"):
        return ""
    command = ["sacct", "--duplicates", "--noheader", "--parsable2", f"--format={','.join(FIELDS)}"]
    command += [f"--clusters={cluster}"] * bool(cluster) + [f"--jobs={','.join(numbers)}"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
