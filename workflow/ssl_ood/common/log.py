"""The log of a stage, which is its standard error."""

from __future__ import annotations

import contextlib
import sys


def say(text: str) -> None:
    """Prints to stderr, which is the log; a disk too full for the log does not end a stage."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
