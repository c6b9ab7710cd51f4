"""Which commit of the clone this code is, for whoever wants the same again."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]


@cache
def commit() -> str | None:
    """The commit that the clone is at, with `+changes` where tracked files are others.

    None where the package lies in no clone, or there is no git.
    """
    if not (CLONE / ".git").exists():
        return None
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{head}+changes" if head and changed else head or None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(CLONE), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
