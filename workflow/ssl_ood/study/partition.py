"""What a SLURM partition grants, and which request it never could.

Where a request is above a partition's time limit, most sites let the job wait for ever
(`EnforcePartLimits=NO`) and Snakemake with it. So all requests are compared with the partition
before the first job is submitted. What a QOS, an account or a reservation limits is not seen here.
"""

from __future__ import annotations

import operator
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from ssl_ood.common.errors import UserError
from ssl_ood.study.slurm_costs import seconds_of

ANSWER_SECONDS = 20
FORMAT = "%P|%l|%c|%m|%G"  # partition (* the default one), time limit, and of a node CPUs, MB, GRES


@dataclass(frozen=True)
class Request:
    """What a job asks for, on one node. partition: one or several with commas; "": the default."""

    job: str
    partition: str
    minutes: int
    memory_mb: int
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Limits:
    """The most that jobs of a partition can have; of a node, that which has most."""

    partition: str
    default: bool
    minutes: float  # inf: no limit
    memory_mb: int
    cpus: int
    gpus: int


LIMITED = {
    "minutes": ("{} minutes", "set execution: {{max_minutes: {}}} in the config"),
    "memory_mb": ("{} MB of memory", "lower execution.memory_mb in the config"),
    "cpus": ("{} CPUs", "lower execution.threads in the config"),
    "gpus": ("{} GPUs", "set execution: {{devices: {}}} in the config"),
}


def partitions() -> list[Limits]:
    """The partitions of the cluster; none where sinfo does not answer."""
    if not shutil.which("sinfo"):
        return []
    command = ["sinfo", "--all", "--noheader", "--Node", f"--format={FORMAT}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return read_sinfo(answer)


def read_sinfo(answer: str) -> list[Limits]:
    """The partitions from lines of FORMAT, one for each of their nodes."""
    nodes: dict[str, list[Limits]] = {}
    for line in answer.splitlines():
        name, limit, cpus, memory, gres = line.split("|")
        minutes = seconds_of(limit) / 60 if re.match(r"\d", limit) else float("inf")
        gpus = sum(int(count) for count in re.findall(r"\bgpu:(?:[^:,(]+:)?(\d+)", gres))
        plain = name.rstrip("*")
        one = Limits(plain, "*" in name, minutes, _number(memory), _number(cpus), gpus)
        nodes.setdefault(plain, []).append(one)
    return [
        Limits(
            name, found[0].default, found[0].minutes,
            *(max(getattr(one, key) for one in found) for key in ("memory_mb", "cpus", "gpus")),
        )
        for name, found in nodes.items()
    ]  # fmt: skip


def refuse_impossible(requests: Iterable[Request], known: list[Limits]) -> float:
    """Compares every request with its partition; the time limit in minutes that all share.

    A request of several partitions has to fit one of them. The time limit is the shortest of the
    partitions that the requests name, inf without any. Raises UserError, one sentence, for the
    largest request that no partition grants, and for a partition that is not there.
    """
    pairs = [(request, chosen) for request in requests if (chosen := _chosen(request, known))]
    for key, (words, remedy) in LIMITED.items():
        of = operator.attrgetter(key)
        over = [pair for pair in pairs if all(of(pair[0]) > of(limits) for limits in pair[1])]
        if not over:
            continue
        request, chosen = max(over, key=lambda pair: of(pair[0]))
        most = max(chosen, key=of)
        granted = int(of(most))
        raise UserError(
            f"{request.job} asks for {words.format(of(request))}, and the partition "
            f"{most.partition} grants {granted} at most: {remedy.format(granted)}, or name another "
            "partition by SBATCH_PARTITION."
        )
    return min(
        (max(limits.minutes for limits in chosen) for _, chosen in pairs), default=float("inf")
    )


def _chosen(request: Request, known: list[Limits]) -> list[Limits]:
    names = [name for name in re.split(r"[,\s]+", request.partition) if name]
    if not names:
        return [limits for limits in known if limits.default]
    chosen = [limits for limits in known if limits.partition in names]
    if known and not chosen:
        there = ", ".join(sorted(limits.partition for limits in known))
        raise UserError(
            f"SLURM knows no partition {request.partition}: there are {there}; name one of them by "
            "SBATCH_PARTITION."
        )
    return chosen


def _number(text: str) -> int:
    """Of sinfo, which writes a plus behind what nodes have at least."""
    return int(text.rstrip("+"))
