"""Trainings that an earlier Snakemake has left behind: a SIGTERM ends it, and not its jobs.

The next one waits for them, since each holds the lock of its run, and looks idle meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Collection
from pathlib import Path

from ssl_ood.common.files import read_json
from ssl_ood.common.locks import holder, is_held

SILENT = 120.0  # seconds without a word after which a training on another machine is not believed


def left_trainings(results: Path) -> dict[str, str]:
    """Who trains which run now, in words, by its name."""
    locks = sorted(results.glob("checkpoints/*/lock"))
    holders = {lock.parent.name: holder(lock) for lock in locks if is_held(lock)}
    for path in sorted(results.glob("progress/*.json")):  # over a disk without locks
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            progress = read_json(path)
            here = progress["host"] == socket.gethostname()
            if time.time() - progress["updated"] < SILENT and (
                not here or is_alive(progress["pid"])
            ):
                holders.setdefault(path.stem, f"process {progress['pid']} on {progress['host']}")
    return holders


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def describe_left(results: Path, runs: Collection[str] | None = None) -> str:
    """A sentence about those of `runs` (None: of all) that train already; "" where none does."""
    left = left_trainings(results)
    shown = [f"{run} ({who})" for run, who in left.items() if runs is None or run in runs]
    if not shown:
        return ""
    return (
        f"Still training, left by an earlier Snakemake: {', '.join(shown)}. Its run waits for it; "
        "`kill` and the number of the process ends it, and its run then goes on from its last step."
    )
