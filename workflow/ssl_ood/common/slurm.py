"""What a stage has to do with the SLURM job that it may run in."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

ANSWER_SECONDS = 20


def job_id() -> str | None:
    """The SLURM job that this process runs in, or None."""
    return os.environ.get("SLURM_JOB_ID")


JOBS = "SSL_OOD_SLURM_JOBS"  # variable: folder that the numbers of jobs are written to
JOBS_FOLDER = "benchmarks/slurm"  # of the results


def write_down_job(run: str) -> None:
    """Adds this job to those of the run, for the costs; nothing outside SLURM and the workflow.

    A disk that is full costs the line, not the job.
    """
    job, folder = job_id(), os.environ.get(JOBS)
    if not job or not folder:
        return
    line = json.dumps({"cluster": os.environ.get("SLURM_CLUSTER_NAME"), "job": job})
    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with open(Path(folder, f"{run}.jsonl"), "a", encoding="utf-8") as file:
            file.write(line + "\n")


def requeue_if_preempted() -> bool:
    """Queues this job again if SLURM is preempting it and would do so itself; whether it did.

    A job that leaves within the grace time counts as failed, and failures are numbered: Snakemake
    tries again only so often, while a job may be preempted any number of times. One that is
    cancelled or runs into its time limit is left to Snakemake.
    """
    job = job_id()
    if not job or not shutil.which("scontrol"):
        return False
    record = _scontrol("show", "job", job)
    if not re.search(r"\bPreemptTime=\d", record) or not re.search(r"\bRequeue=1\b", record):
        return False
    return _scontrol("requeue", job, failed="failed") != "failed"


def _scontrol(*arguments: str, failed: str = "") -> str:
    try:
        return subprocess.run(
            ["scontrol", *arguments],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return failed
