"""Measurements of runs: one tidy row for each number; the file results/measurements/RUN.parquet.

Columns, in order:

- run, study, in_distribution, method (of the training), strategy, variant, seed;
- dataset: the OOD set, or average, average_without_photographs, pooled; empty for what is measured
  of the in-distribution set alone;
- score and temperature: empty and NaN where the metric has none;
- metric, value, low, high: shares in 0..1, counts or nats, with the confidence interval over
  images; over: "images" where there is an interval;
- n_in, n_out: images on the two sides, 0 where there is no such side;
- status: of `STATUSES`; the value is NaN unless it is measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import read_rows, write_rows
from ssl_ood.common.vocabulary import MEASURED, NO_DATA, NO_WEIGHTS, NOT_APPLICABLE

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = ("run", "study", "in_distribution", "method", "strategy", "variant", "seed")
COLUMNS = (
    *IDENTITY,
    "dataset",
    "score",
    "temperature",
    "metric",
    "value",
    "low",
    "high",
    "over",
    "n_in",
    "n_out",
    "status",
)
STATUSES = (MEASURED, NO_DATA, NO_WEIGHTS, NOT_APPLICABLE)
_BLANK = {
    "dataset": "",
    "score": "",
    "temperature": float("nan"),
    "value": float("nan"),
    "low": float("nan"),
    "high": float("nan"),
    "over": "",
    "n_in": 0,
    "n_out": 0,
    "status": MEASURED,
}


def as_frame(rows: Iterable[Mapping[str, Any]], identity: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of one run as a frame of `COLUMNS`; identity: what all of them share."""
    import pandas as pd

    same = {name: identity[name] for name in IDENTITY}
    frame = pd.DataFrame([_BLANK | same | row for row in rows], columns=list(COLUMNS))
    kinds = {"seed": "int64", "n_in": "int64", "n_out": "int64", "temperature": "float64"}
    return frame.astype(kinds | dict.fromkeys(("value", "low", "high"), "float64"))


def write_measurements(
    frame: pd.DataFrame, path: Path, inputs: Mapping[str, Any] | None = None
) -> None:
    """Writes a frame of `COLUMNS`, of one run, to a parquet file, whole or not at all.

    inputs: checksums of what they were made from, {"sets": {NAME: {"images": SHA-256, ...}}, ...}.
    """
    import pyarrow as pa

    (run,) = frame["run"].unique()
    proof = {"run": run, "inputs": inputs or {}}
    write_rows(pa.Table.from_pandas(frame, preserve_index=False), path, proof)


def refuse_other_images(seen: dict[str, tuple[str, Any]], proof: Mapping[str, Any]) -> None:
    """Raises UserError where the images or labels of a set are not those that were seen before.

    seen: by set, whose they were and their checksums; it is added to.
    """
    for name, checksums in proof["inputs"].get("sets", {}).items():
        other, expected = seen.setdefault(name, (proof["run"], checksums))
        if checksums != expected:
            raise UserError(
                f"{other} and {proof['run']} were evaluated on different images or labels of "
                f"{name}: delete the measurements of the one that is older and run the "
                "workflow again."
            )


def read_measurements(
    paths: Sequence[Path],
    runs: Collection[str] = (),
    seen: dict[str, tuple[str, Any]] | None = None,
) -> pd.DataFrame:
    """The measurements of several runs. A file that is named after one of `runs` must hold its.

    seen: see `refuse_other_images`.

    Raises UserError for a file that is missing, damaged or of another run, and for runs that were
    evaluated on different images of a set.
    """
    import pandas as pd

    frames, seen = [], {} if seen is None else seen
    for path in paths:
        run = path.stem if path.stem in runs else None
        table, proof = read_rows(path, "measurements", run)
        frame = table.to_pandas()
        if list(frame.columns) != list(COLUMNS):
            raise UserError(f"{path} holds no measurements: its columns are others.")
        refuse_other_images(seen, proof)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else as_frame([], dict.fromkeys(IDENTITY))
