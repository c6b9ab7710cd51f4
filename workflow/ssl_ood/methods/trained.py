"""The proof that weights are those that a run's training wrote: train.json, which lies beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import is_whole, tensors_metadata
from ssl_ood.methods.settings import RunSettings

SUMMARY = "train.json"
AGAIN = "Delete the folder and run the workflow again, which trains the run."


def prove_weights(weights: Path, run: str) -> dict[str, Any]:
    """What the training of `run` said at its end, in train.json beside `weights`.

    Reads the weights in full. Raises UserError where they, or train.json, are damaged, missing or
    of another run.
    """
    summary = _read_summary(weights)
    if summary["run"] != run:
        raise _other_run(weights, summary["run"], run)
    try:
        digest = sha256_of(weights)
    except OSError as error:
        raise UserError(f"The weights {weights} cannot be read ({error.strerror}).") from None
    if digest != summary["weights_sha256"]:
        owner = run_of(weights)
        if owner not in (None, run):
            raise _other_run(weights, owner, run)
        raise UserError(
            f"The weights {weights} are damaged: their checksum is {digest[:12]}, the training of "
            f"{run} wrote {summary['weights_sha256'][:12]}. {AGAIN}"
        )
    return summary


def prove_settings(weights: Path, settings: RunSettings) -> None:
    """Raises UserError where weights were trained with other settings than a run of that name."""
    trained, expected = _config_of(weights), settings.to_dict()
    other = sorted(
        key for key in trained.keys() | expected if trained.get(key) != expected.get(key)
    )
    if trained and other:
        raise UserError(
            f"{weights} was trained as {settings.run} with another {', '.join(other)} than the "
            f"config has now. {AGAIN}"
        )


def prove_initial(path: Path, settings: RunSettings) -> None:
    """Raises UserError unless `path` holds the weights that the training of a run starts from."""
    for kind, name in (settings.initial or {}).items():
        if kind == "run":
            prove_weights(path, name)
        elif (other := tensors_metadata(path).get(kind, name)) != name:
            raise UserError(
                f"{path} holds the weights {other}, not {name}: delete the file and run the "
                "workflow again, which makes it again."
            )


def run_of(weights: Path) -> str | None:
    """The run that weights say they are of; None where they cannot be read or say nothing."""
    try:
        return _config_of(weights).get("run")
    except UserError:
        return None


def _config_of(weights: Path) -> Mapping[str, Any]:
    return json.loads(tensors_metadata(weights).get("config", "{}"))


def _other_run(weights: Path, other: str, run: str) -> UserError:
    return UserError(f"{weights} holds the weights of {other}, not those of {run}. {AGAIN}")


def _read_summary(weights: Path) -> dict[str, Any]:
    path = weights.with_name(SUMMARY)
    try:
        summary = read_json(path)
        whole = is_whole(summary) and {"run", "weights_sha256", "datasets"} <= summary.keys()
        reason = "it was altered"
    except FileNotFoundError:
        raise UserError(
            f"{path}, which proves whose the weights beside it are, is missing. {AGAIN}"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        whole, reason = False, str(error)
    if not whole:
        raise UserError(f"{path} is damaged ({reason}). {AGAIN}")
    return summary
