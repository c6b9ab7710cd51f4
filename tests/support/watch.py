"""What the tests of `watch` share: events, progress files, and programs that are watched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl_ood.common.progress import write_progress
from ssl_ood.study.watch.jobs import Jobs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def default_signals() -> None:
    """For a child's preexec_fn: tests that run under nohup, or behind &, ignore SIGINT."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def info(job: int, rule: str, now: float = 0.0, **wildcards: str) -> dict[str, Any]:
    """A job begins."""
    event = {"event": "job_info", "time": now, "jobid": job, "rule_name": rule, "rule_msg": None}
    return event | {"wildcards": wildcards, "log": [], "threads": 1, "indent": False}


def finished(job: int, now: float = 0.0) -> dict[str, Any]:
    """A job has ended well."""
    return {"event": "job_finished", "time": now, "job_id": job}


def progress(done: int, total: int) -> dict[str, Any]:
    """So many of all jobs are done."""
    return {"event": "progress", "time": 0.0, "done": done, "total": total}


def plan(**jobs: int) -> dict[str, Any]:
    """So many jobs of each rule are planned."""
    stats = jobs | {"total": sum(jobs.values())}
    return {"event": "run_info", "time": 0.0, "stats": stats}


def failed(job: int, rule: str, *logs: object, indent: bool = False) -> dict[str, Any]:
    """A job has failed."""
    event = {"event": "job_error", "time": 0.0, "jobid": job, "rule_name": rule, "rule_msg": None}
    event |= {"log": [str(log) for log in logs], "aux": {}, "indent": indent}
    return event | {"shellcmd": "python -m ssl_ood train"}


# Of two trainings one is done and one runs.
STUDY = [
    {"event": "workflow_started", "time": 0.0},
    plan(all=1, score=2, train=2),
    info(6, "train", run="a"),
    info(3, "train", run="b"),
    finished(3, 1.0),
    progress(1, 5),
]


def read(events: Iterable[dict[str, Any]], jobs: Jobs | None = None) -> tuple[Jobs, list[str]]:
    """The jobs after events, and what a person was told at once."""
    jobs = jobs or Jobs()
    return jobs, [note for event in events if (note := jobs.read(event))]


def run_watch(results: Path, *command: str, **options) -> subprocess.CompletedProcess[str]:
    """A watch in a pipe, to its end."""
    return subprocess.run(
        watch_command(results, *command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        preexec_fn=default_signals,
        **options,
    )


def watch_command(results: Path, *command: str) -> list[str]:
    """The command line of a watch."""
    line = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(results)]
    return [*line, *(["--", *command] if command else [])]


def python(program: str) -> tuple[str, str, str]:
    """A command that runs a program."""
    return (sys.executable, "-c", program)


def reports(events: list[dict[str, Any]], then: str = "") -> tuple[str, str, str]:
    """A command that writes events as Snakemake's plugin does, and goes on with `then`.

    There, `report(events)` writes more.
    """
    return python(
        "import json, os, signal, sys, time\n"
        "file = open(os.environ['SSL_OOD_EVENTS'], 'a')\n"
        "def report(events):\n"
        "    for event in events: print(json.dumps(event), file=file, flush=True)\n"
        f"report({events!r})\n{then}"
    )


def started_watch(results: Path, *command: str, **options) -> subprocess.Popen[bytes]:
    """A watch whose command has printed `ready`."""
    child = subprocess.Popen(
        watch_command(results, *command),
        stdout=subprocess.PIPE,
        preexec_fn=default_signals,
        **options,
    )
    log, patience = results / "snakemake.log", time.monotonic() + 30
    while not (log.exists() and "ready" in log.read_text()):
        assert time.monotonic() < patience and child.poll() is None
        time.sleep(0.02)
    return child


def write_training(folder: Path, run: str, **fields) -> Path:
    """A progress file as of now, changed by `fields`."""
    path = folder / f"{run}.json"
    shown = {"run": run, "step": 400, "steps": 1240, "epoch": 3, "epochs": 20, "loss": 5.13}
    write_progress(path, **shown, images_per_second=812.4, seconds_left=70.0)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def process_that_is_gone() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid
