"""Checkpoints of a training: written whole or not at all, verified when read, two kept.

They lie outside the outputs that Snakemake knows, which deletes the outputs of a failed job.
A checkpoint is `step_00001234.pt` and `step_00001234.json` with its SHA-256 and the fingerprint of
the run config; the json is written last, so a checkpoint without one is not finished.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, write_json
from ssl_ood.common.hashing import sha256, sha256_of, sha256_of_value
from ssl_ood.common.log import say

KEEP = 2


def fingerprint(config: dict) -> str:
    """Digest of a run config: a checkpoint of another config is never resumed."""
    return sha256_of_value(config)[:16]


def save(folder: Path, step: int, state: dict[str, Any], config: dict, keep: int = KEEP) -> None:
    """Writes the state after `step` steps and removes all but the newest `keep` of this config.

    What lies beyond `step` was passed over by `load` (damaged, or of another config): it goes too,
    and so does what a killed process left half written. Raises OSError where it cannot be written,
    the older ones untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:08d}.pt"
    content = io.BytesIO()  # a full disk is then an OSError of ours, not one of torch's writer
    torch.save(state, content)
    digest = sha256([content.getbuffer()])
    with atomic_path(path) as partial:
        partial.write_bytes(content.getbuffer())
    write_json(
        path.with_suffix(".json"),
        {"step": step, "sha256": digest, "config": fingerprint(config)},
    )
    steps, of_config = _steps(folder), fingerprint(config)
    usable = [p for p in steps if p <= path and _note(p).get("config") == of_config]
    for old in set(steps) - set(usable[:keep]):
        _remove(old)
    _remove_partial(folder)


def load(folder: Path, config: dict, device: torch.device) -> dict[str, Any] | None:
    """The newest checkpoint of this config that is whole, or None. Says what it passes over."""
    for path in _steps(folder):
        problem = _problem(path, config)
        if problem is None:
            return torch.load(path, map_location=device, weights_only=True)
        say(f"checkpoint {path.name} is not used: {problem}")
    return None


def _remove(path: Path) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _remove_partial(folder: Path) -> None:
    for path in folder.glob(".step_*.partial"):
        path.unlink()


def _steps(folder: Path) -> list[Path]:
    """Checkpoints by step, newest first; by name, so that a wrong clock changes nothing."""
    return sorted(folder.glob("step_*.pt"), reverse=True)


def _note(path: Path) -> dict[str, Any]:
    """The json of a checkpoint; empty where there is none that can be read."""
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _problem(path: Path, config: dict) -> str | None:
    note = _note(path)
    if not {"sha256", "config"} <= note.keys():
        return "it was not finished"
    if note["config"] != fingerprint(config):
        return "it belongs to another configuration of the run"
    try:
        whole = sha256_of(path) == note["sha256"]
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return None if whole else "its content is damaged (checksum differs)"


@contextmanager
def exclusive(folder: Path, wait_minutes: float = 0.0) -> Iterator[None]:
    """Holds the run's lock: two jobs never train the same run into the same folder.

    Raises UserError where another process holds it for longer than `wait_minutes`, and where the
    folder cannot be written to.
    """
    with ExitStack() as held:
        try:
            lock = locks.exclusive(folder / "lock", "training this run", 60 * wait_minutes)
            held.enter_context(lock)
        except OSError as error:
            raise UserError(
                f"The folder of checkpoints {folder} cannot be written to ({error.strerror}): ask "
                "its owner for the right to, or name another results_dir."
            ) from None
        yield
