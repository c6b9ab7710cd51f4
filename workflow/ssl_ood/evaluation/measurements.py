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

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path
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


def write_measurements(frame: pd.DataFrame, path: Path) -> None:
    """Writes a frame of `COLUMNS` to a parquet file, whole or not at all."""
    with atomic_path(path) as partial:
        frame.to_parquet(partial, index=False, compression="zstd")


def read_measurements(paths: Sequence[Path]) -> pd.DataFrame:
    """The measurements of several runs. Raises UserError for a file that is missing or is none."""
    import pandas as pd

    frames = []
    for path in paths:
        try:
            frame = pd.read_parquet(path)
        except FileNotFoundError:
            raise UserError(
                f"There are no measurements {path}: make them with `snakemake {path}`."
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"The measurements {path} are damaged ({error}): delete the file and make it again."
            ) from None
        if list(frame.columns) != list(COLUMNS):
            raise UserError(f"{path} holds no measurements: its columns are others.")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else as_frame([], dict.fromkeys(IDENTITY))
