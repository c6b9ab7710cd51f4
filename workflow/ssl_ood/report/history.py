"""The logs of trainings, as one tidy frame, and the time that they took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("run", "in_distribution", "strategy", "variant", "seed")


def read_history(files: Sequence[Path], spec: dict[str, Any]) -> pd.DataFrame:
    """The lines of the logs of the runs of a figure: one row per line, with the run's identity.

    files: runs/RUN/log.jsonl. A log has lines of kind "epoch" (means of an epoch), "signs" (means
    of some steps) and "probe" (what was seen of the features); all have `epoch`, which counts from
    0 and may lie between two, and the quantities of their method. Raises UserError for a file that
    is missing, damaged or not what its training wrote, and where a run of the figure has none.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for run, path in _trained(files, spec):
        identity = {name: run[name] for name in IDENTITY}
        rows += [identity | {"kind": "epoch"} | line for line in _read(path)[0]]
    return pd.DataFrame(rows, columns=None if rows else [*IDENTITY, "kind", "epoch"])


def device_hours(files: Sequence[Path], spec: dict[str, Any]) -> dict[str, float]:
    """What the training of each run took, by its name: hours times devices. Raises as above."""
    seconds_of = {run["run"]: _read(path)[1] for run, path in _trained(files, spec)}
    return {run: t["seconds"] * t.get("devices", 1) / 3600 for run, t in seconds_of.items()}


def _trained(files: Sequence[Path], spec: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path]]:
    """The runs that could be trained, each with its log."""
    by_run = {path.parent.name: path for path in files}
    for run in spec["runs"]:
        if "status" in run:
            continue
        if run["run"] not in by_run:
            raise UserError(
                f"{spec['name']}: there is no log of {run['run']}: make it with "
                f"`snakemake {spec['name']}`, which trains the run."
            )
        yield run, by_run[run["run"]]


def _read(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of a log, and train.json beside it."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        summary = json.loads(path.with_name("train.json").read_text(encoding="utf-8"))
        wrote = summary.get("log_sha256", "")  # older trainings did not say
        reason = "it is not what the training wrote" if wrote not in ("", sha256_of(path)) else ""
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error)
    if reason:
        raise UserError(
            f"{path} is damaged ({reason}). Delete the folder and run the workflow again, which "
            "trains the run."
        )
    return lines, summary
