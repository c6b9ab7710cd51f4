"""A function in a process of its own: what came of it, in which time, with how much memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROOM = 1 << 30  # bytes of addresses beyond those in use; who wants more gets a MemoryError


@dataclass(frozen=True)
class Outcome:
    """What a function returned, or how it ended; peak: MiB more than before the call."""

    value: Any
    ended: str | None
    seconds: float
    peak: float


def bounded(function: Callable[[], Any], seconds: float = 60.0) -> Outcome:
    """Calls the function in a fork, which is ended after so many seconds.

    What it returns must be picklable. Raises what the function raises, as a RuntimeError.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_call, args=(function, theirs, seconds))
    started = time.monotonic()
    child.start()
    theirs.close()
    try:
        value, error, peak = ours.recv()
    except EOFError:
        value, error, peak = None, None, float("nan")
    child.join()
    if error is not None:
        raise RuntimeError(error)
    ended = None if child.exitcode == 0 else f"ended by {_how(child.exitcode)}"
    return Outcome(value, ended, time.monotonic() - started, peak)


def _call(function: Callable[[], Any], pipe: Any, seconds: float) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there whatever it finds amiss
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        value, error = function(), None
    except BaseException as caught:
        value, error = None, f"{type(caught).__name__}: {caught}"
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    pipe.send((value, error, peak))
    pipe.close()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
