"""How a program ends that is interrupted, or whose output nobody reads: without a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say

INTERRUPTED = 128 + signal.SIGINT  # exit codes as a shell gives them
NOBODY_READS = 128 + signal.SIGPIPE


def run_to_its_end(stage: Callable[[Any], int | None], options: Any) -> int:
    """Runs a stage and writes out what it printed; the exit code.

    Ctrl-C is one line, and a reader of standard output that is gone (`| head`) is none. Raises
    UserError where standard output is a full disk.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for signs that a terminal lacks
    try:
        code = stage(options) or 0
        flush_output()
        return code
    except BrokenPipeError:
        forget_output()
        return NOBODY_READS
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more ends it at once
        say(f"ssl_ood {options.stage}: interrupted")
        forget_output()
        return INTERRUPTED
    except OSError:
        flush_output()  # if it is that of what was printed, it is told as such
        raise


def flush_output() -> None:
    """Writes out what was printed. Raises UserError for a full disk, BrokenPipeError for a pipe."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_output()
        raise UserError(f"Standard output cannot be written ({error.strerror}).") from None


def forget_output() -> None:
    """Lets what was not written go: Python would try once more at its end, and complain."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def without_interrupt() -> Iterator[None]:
    """Processes that are started inside never see a Ctrl-C; this one sees it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
