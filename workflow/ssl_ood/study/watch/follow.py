"""Follows a command, or the trainings that run, and shows how far they are."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, TextIO

from ssl_ood.common.endings import NOBODY_READS
from ssl_ood.common.progress import clock
from ssl_ood.study.left_behind import describe_left
from ssl_ood.study.watch.child import REFRESH, Child, Output, read_output, started
from ssl_ood.study.watch.display import Display, Guarded, Lines, Picture
from ssl_ood.study.watch.estimate import seconds_left
from ssl_ood.study.watch.jobs import Jobs
from ssl_ood.study.watch.pipe import EventPipe, with_logger
from ssl_ood.study.watch.report import failure_report
from ssl_ood.study.watch.trainings import read_trainings


def display_for(out: TextIO) -> Display:
    """A picture where the terminal can move its cursor, else lines."""
    if not out.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return Lines(out)
    from ssl_ood.study.watch.terminal import Terminal

    return Terminal(out)


def follow(command: list[str], results: Path, out: TextIO) -> int:
    """Runs `command`, shows how far it is on `out`, and returns its exit code (128 + signal).

    Signals to stop go on to the command and all it started; so does the end of who reads `out`.
    Raises UserError where it cannot start.
    """
    began = time.monotonic()
    jobs, path = Jobs(), results / "snakemake.log"
    left = describe_left(results)  # before the command starts trainings of its own
    with (
        EventPipe() as pipe,
        Output(path) as output,
        started(with_logger(command), pipe.environment) as child,
    ):
        display = Guarded(display_for(out))
        try:
            if left:
                display.say(left)
            _show_until_it_ends(child, output, pipe, jobs, results / "progress", display)
        finally:
            display.close()
        code = child.process.wait()
        display.display = Lines(out)
        if code and (jobs.failures or not child.signals):
            display.say(failure_report(jobs, output.last_lines(), Path.cwd()) + "\n")
        display.say(_closing_line(jobs, code, clock(time.monotonic() - began), path))
    if display.gone:
        return NOBODY_READS
    return code if code >= 0 else 128 - code


def _show_until_it_ends(
    child: Child, output: Output, pipe: EventPipe, jobs: Jobs, folder: Path, display: Guarded
) -> None:
    began, looked, warned, stopping = time.time(), 0.0, False, False
    for _ in read_output(child, output, pipe.file):
        if display.gone and not child.signals:
            child.stop(signal.SIGTERM)
        if child.signals and not stopping:
            display.say("stopping: asked the running jobs to end")
            stopping = True
        if output.problem and not warned:
            display.say(output.problem)
            warned = True
        # What is said once it was told to stop are no failures that anybody has to mend.
        for event in pipe.read():
            if not stopping and (note := jobs.read(event)):
                display.say(note)
        now = time.time()
        if abs(now - looked) < REFRESH:
            continue
        looked = now
        trainings = read_trainings(folder, began, now)
        left = seconds_left(jobs, _training_left(trainings), began, now)
        display.show(Picture(jobs, now - began, left, trainings))


def _training_left(trainings: list[dict[str, Any]]) -> list[float]:
    return [t["seconds_left"] for t in trainings if t.get("seconds_left") and not t["state"]]


def _closing_line(jobs: Jobs, code: int, took: str, log: Path) -> str:
    if code:
        counted = f" with {jobs.done} of {jobs.total} jobs done" if jobs.total else ""
        return f"stopped after {took}{counted}; the whole log: {log}"
    if jobs.total:
        return f"{jobs.done} of {jobs.total} jobs done in {took}"
    return "nothing to do: everything is up to date" if jobs.started else f"done in {took}"


def follow_trainings(results: Path, once: bool, out: TextIO) -> int:
    """Shows the trainings that run, until none is left, Ctrl-C, or at `once` the first time."""
    folder, began = results / "progress", time.monotonic()
    display = Guarded(Lines(out) if once else display_for(out))
    trainings = read_trainings(folder, 0.0, time.time())
    try:
        while any(training["state"] != "stopped" for training in trainings) or (once and trainings):
            display.show(Picture(None, time.monotonic() - began, None, trainings))
            if once or display.gone:
                return NOBODY_READS if display.gone else 0
            time.sleep(REFRESH)
            trainings = read_trainings(folder, 0.0, time.time())
    except KeyboardInterrupt:
        return 0
    finally:
        display.close()
    stopped = ", ".join(training["run"] for training in trainings)
    display.display = Lines(out)
    display.say(f"no training runs in {results}" + (f"; stopped: {stopped}" if stopped else ""))
    return NOBODY_READS if display.gone else 0
