"""Checkpoints of a training: written whole or not at all, verified when read, two kept.

They lie outside the outputs that Snakemake knows, which deletes the outputs of a failed job.
A checkpoint is `step_00001234.pt` and `step_00001234.json` with its SHA-256 and the fingerprint of
the run config; the json is written last, so a checkpoint without one is not finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ssl_ood.errors import UserError
from ssl_ood.files import atomic_path, sha256_of, write_json

KEEP = 2


def fingerprint(config: dict) -> str:
    """Digest of a run config: a checkpoint of another config is never resumed."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def save(folder: Path, step: int, state: dict[str, Any], config: dict) -> None:
    """Writes the state after `step` steps and removes all but the newest two checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:08d}.pt"
    with atomic_path(path) as partial:
        torch.save(state, partial)
    write_json(
        path.with_suffix(".json"),
        {"step": step, "sha256": sha256_of(path), "config": fingerprint(config)},
    )
    for old in _steps(folder)[KEEP:]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)


def load(folder: Path, config: dict, device: torch.device) -> dict[str, Any] | None:
    """The newest checkpoint of this config that is whole, or None. Says what it passes over."""
    for path in _steps(folder):
        problem = _problem(path, config)
        if problem is None:
            return torch.load(path, map_location=device, weights_only=True)
        print(f"checkpoint {path.name} is not used: {problem}", file=sys.stderr, flush=True)
    return None


def clear(folder: Path) -> None:
    """Removes the checkpoints of a finished run."""
    for path in _steps(folder):
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _steps(folder: Path) -> list[Path]:
    """Checkpoints by step, newest first; by name, so that a wrong clock changes nothing."""
    return sorted(folder.glob("step_*.pt"), reverse=True)


def _problem(path: Path, config: dict) -> str | None:
    try:
        note = json.loads(path.with_suffix(".json").read_text())
        expected, of_config = note["sha256"], note["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return "it was not finished"
    if of_config != fingerprint(config):
        return "it belongs to another configuration of the run"
    if sha256_of(path) != expected:
        return "its content is damaged (checksum differs)"
    return None


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the run's lock: two jobs never train the same run into the same folder.

    The kernel releases the lock when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another process is training this run already (it holds {folder / 'lock'}): "
                "wait for it or stop it."
            ) from None
        yield
    finally:
        os.close(lock)
