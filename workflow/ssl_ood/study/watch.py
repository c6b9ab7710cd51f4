"""Shows how far a study is: `ssl_ood watch --results results/demo -- snakemake all --cores 2`.

Runs the command after `--` and shows its jobs and the running trainings, in place on a terminal and
line by line elsewhere; its whole output goes to RESULTS/snakemake.log, and what matters of it is
printed when it fails. Without a command it shows the trainings that run, also on other machines.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ssl_ood.common.errors import UserError
from ssl_ood.study.jobs import Jobs, failure_report, seconds_left

STALE = 60.0  # seconds without a word after which a training may have stalled
REFRESH = 0.25  # seconds between two pictures on a terminal
SOONEST, LATEST = 10.0, 60.0  # seconds between two lines where the output is no terminal
KILL_AT = 3  # so many signals mean that the command does not listen


def write_progress(path: Path, **fields: Any) -> None:
    """Tells how far a training is: `fields`, the time, the process and the host, as JSON in `path`.

    A reader never sees half a file; it is not forced to the disk, since it is soon out of date. A
    full disk costs the display, not the training.
    """
    fields = {name: _strict(value) for name, value in fields.items()}
    fields |= {"updated": time.time(), "pid": os.getpid(), "host": socket.gethostname()}
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(fields, allow_nan=False), encoding="utf-8")
        os.replace(partial, path)


def _strict(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_trainings(folder: Path, since: float, now: float) -> list[dict[str, Any]]:
    """The trainings that told their progress in `folder`, by name, each with a `state`.

    state: "" (running), "stopped" (its process is gone) or "stalled? ..." (silent for long). The
    files of finished trainings are removed; those of processes that were gone before `since` (unix
    time) are passed over: the training that resumes them writes them anew.
    """
    trainings = []
    for path in sorted(folder.glob("*.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            silent = now - told["updated"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being replaced, or none of ours
        here = told.get("host") == socket.gethostname()
        gone = here and not _alive(told.get("pid", 0))
        if told.get("steps") and told.get("step") == told["steps"] and (gone or silent > STALE):
            path.unlink(missing_ok=True)
            continue
        if gone and told["updated"] < since:
            continue
        stalled = f"stalled? silent for {clock(silent)}" if silent > STALE else ""
        trainings.append({"run": path.stem, **told, "state": "stopped" if gone else stalled})
    return trainings


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34, 1:02:03 or 2 d 03 h."""
    minutes, second = divmod(round(max(seconds, 0.0)), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def describe_training(training: dict[str, Any], short: bool = False) -> str:
    """`epoch 3/20  step 400/1240  loss 5.13  812 images/s  1:10 left`; if short, no epoch."""
    parts = [
        f"{name} {training[name]}/{training[of]}"
        for name, of in (("epoch", "epochs"), ("step", "steps"))
        if training.get(of) and not (short and name == "epoch" and training.get("steps"))
    ]
    if training.get("loss") is not None:
        parts.append(f"loss {training['loss']:.2f}")
    if training["state"]:
        return "  ".join([*parts, training["state"]])
    if training.get("images_per_second"):
        parts.append(f"{training['images_per_second']:.0f} images/s")
    if training.get("eta_seconds") is not None:
        parts.append(f"{clock(training['eta_seconds'])} left")
    return "  ".join(parts)


def describe_jobs(jobs: Jobs, elapsed: float, left: float | None) -> str:
    """`12 of 57 jobs, 1:32 elapsed, about 5:40 left`."""
    if not jobs.total:
        return f"counting the jobs, {clock(elapsed)} elapsed"
    text = f"{jobs.done} of {jobs.total} jobs, {clock(elapsed)} elapsed"
    return text if left is None else f"{text}, about {clock(left)} left"


def _end_of(name: str, width: int) -> str:
    # Runs differ in their last words: strategy, variant, seed.
    return name if len(name) <= width else ".." + name[-(width - 2) :]


class Terminal:
    """Redraws its lines in place; what is said scrolls by above them."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.drawn, self.shown = out, [], -math.inf
        self._write("\x1b[?25l")  # hides the cursor

    def show(self, jobs: Jobs | None, elapsed: float, left: float | None, trainings: list) -> None:
        """Draws how far the jobs and the trainings are, unless that was just done."""
        if time.monotonic() - self.shown < REFRESH:
            return
        self.shown = time.monotonic()
        width, height = shutil.get_terminal_size()
        lines = []
        if jobs:
            share = jobs.done / jobs.total if jobs.total else 0.0
            filled = round(20 * share)
            lines.append(f"[{'#' * filled}{'.' * (20 - filled)}] {share:4.0%}  ")
            lines[0] += describe_jobs(jobs, elapsed, left)
            # A training has a line of its own as soon as it has told something.
            names = Counter(job.rule or job.about for job in jobs.running.values())
            now = ", ".join(f"{name} x{n}" if n > 1 else name for name, n in names.items())
            lines += [f"  now: {now}"] if now else []
        room = max(height - len(lines) - 2, 1)
        texts = [describe_training(training, width < 110) for training in trainings]
        names = max((len(training["run"]) for training in trainings), default=0)
        names = min(names, max(width - 5 - max(map(len, texts), default=0), 8))
        for training, text in list(zip(trainings, texts, strict=True))[:room]:
            lines.append(f"  {_end_of(training['run'], names):{names}}  {text}")
        if len(trainings) > room:
            lines.append(f"  and {len(trainings) - room} more trainings")
        self._draw([line[: width - 1] for line in lines], width)

    def say(self, text: str) -> None:
        """Prints `text` for good, above the lines that are redrawn."""
        self._write(self._erased() + text + "\n")
        self.shown = -math.inf

    def close(self) -> None:
        """Leaves the terminal as it was, without the redrawn lines."""
        self._write(self._erased() + "\x1b[?25h")

    def _draw(self, lines: list[str], width: int) -> None:
        # One write, each line overwritten before its rest is erased: nothing flickers.
        text = self._up(width) + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
        self._write(text)
        self.drawn = lines

    def _up(self, width: int) -> str:
        # In a window made narrower since, the terminal has broken the old lines into several.
        rows = sum(max(1, -(-len(line) // max(width, 1))) for line in self.drawn)
        return f"\r\x1b[{rows}A" if rows else "\r"

    def _erased(self) -> str:
        up, self.drawn = self._up(shutil.get_terminal_size().columns), []
        return up + "\x1b[J"

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


class Lines:
    """A line whenever jobs were done, not too often, and now and then in any case."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.shown, self.done = out, -math.inf, -1

    def show(self, jobs: Jobs | None, elapsed: float, left: float | None, trainings: list) -> None:
        """Prints one line, if it is time for one."""
        done = jobs.done if jobs else 0
        quiet = time.monotonic() - self.shown
        if quiet < SOONEST or (done == self.done and quiet < LATEST) or (jobs and not jobs.total):
            return
        self.shown, self.done = time.monotonic(), done
        parts = [describe_jobs(jobs, elapsed, left)] if jobs else []
        parts += [f"{t['run']}: {describe_training(t).replace('  ', ', ')}" for t in trainings]
        self.say("; ".join(parts))

    def say(self, text: str) -> None:
        """Prints `text`."""
        print(text, file=self.out, flush=True)

    def close(self) -> None:
        """Nothing is left to clear."""


def _display(out: TextIO) -> Terminal | Lines:
    clever = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Terminal(out) if clever else Lines(out)


def follow(command: list[str], results: Path, out: TextIO) -> int:
    """Runs `command`, shows how far it is on `out`, and returns its exit code (128 + signal).

    Signals to stop go on to the command and all it started. Raises UserError where it cannot start.
    """
    results.mkdir(parents=True, exist_ok=True)
    path, began, since = results / "snakemake.log", time.monotonic(), time.time()
    jobs, stopping = Jobs(), False
    with open(path, "wb") as log, _started(command) as (child, signals):
        display = _display(out)
        try:
            for lines in _output(child, log):
                now = time.monotonic()
                if signals and not stopping:
                    display.say("stopping: the running jobs are told to end")
                    stopping = True
                # What is said once it was told to stop are no failures that anybody has to mend.
                for line in [] if stopping else lines:
                    if note := jobs.read(line, now):
                        display.say(note)
                trainings = read_trainings(results / "progress", since, time.time())
                etas = [
                    t["eta_seconds"] for t in trainings if t.get("eta_seconds") and not t["state"]
                ]
                left = seconds_left(jobs, etas, began, now)
                display.show(jobs, now - began, left, trainings)
            code = child.wait()
        finally:
            display.close()
    if code and (jobs.failed or not stopping):
        print(failure_report(jobs, Path.cwd()), end="\n\n", file=out)
    print(_closing_line(jobs, code, clock(time.monotonic() - began), path), file=out, flush=True)
    return code if code >= 0 else 128 - code


def _closing_line(jobs: Jobs, code: int, took: str, log: Path) -> str:
    if code:
        counted = f" with {jobs.done} of {jobs.total} jobs done" if jobs.total else ""
        return f"stopped after {took}{counted}; the whole log: {log}"
    if jobs.up_to_date:
        return "nothing to do: everything is up to date"
    return f"{jobs.done} of {jobs.total} jobs done in {took}" if jobs.total else f"done in {took}"


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """The running command, and the signals that were passed on to it so far."""
    # A session of its own: the terminal's Ctrl-C reaches it once, through us, and not twice.
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"The command {command[0]} cannot be run: {error.strerror}.") from None
    received: list[int] = []

    def forward(number: int, _frame: object) -> None:
        received.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number if len(received) < KILL_AT else signal.SIGKILL)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield child, received
    finally:
        if child.poll() is None:
            forward(signal.SIGTERM, None)
        for number, handler in before.items():
            signal.signal(number, handler)


def _output(child: subprocess.Popen[bytes], log: Any) -> Iterator[list[str]]:
    """The lines the child prints, as they come, or none every REFRESH seconds; also to `log`."""
    assert child.stdout
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(REFRESH):
                if child.poll() is not None:  # something it left behind holds the pipe open
                    break
                yield []
                continue
            chunk = os.read(child.stdout.fileno(), 1 << 16)
            if not chunk:
                break
            log.write(chunk)
            log.flush()
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            yield [line.decode(errors="replace") for line in lines]
    if rest:
        yield [rest.decode(errors="replace")]


def watch(results: Path, once: bool, out: TextIO) -> int:
    """Shows the trainings that run, until none is left, Ctrl-C, or at `once` the first time."""
    folder = results / "progress"
    display = Lines(out) if once else _display(out)
    began = time.monotonic()
    trainings = read_trainings(folder, 0.0, time.time())
    try:
        while any(training["state"] != "stopped" for training in trainings) or (once and trainings):
            display.show(None, time.monotonic() - began, None, trainings)
            if once:
                return 0
            time.sleep(REFRESH)
            trainings = read_trainings(folder, 0.0, time.time())
    except KeyboardInterrupt:
        return 0
    finally:
        display.close()
    stopped = ", ".join(training["run"] for training in trainings)
    print(f"no training runs in {results}" + (f"; stopped: {stopped}" if stopped else ""), file=out)
    return 0


def add_parsers(stages: Any) -> None:
    """Adds the subcommand `watch`."""
    parser = stages.add_parser("watch", help="run a command and show how far the study is")
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--once", action="store_true", help="print once, without a command")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    sys.stdout.reconfigure(errors="replace")  # an exotic sign in a log must not end the watch
    if command:
        return follow(command, options.results, sys.stdout)
    return watch(options.results, options.once, sys.stdout)
