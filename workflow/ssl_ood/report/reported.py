"""The values that the thesis prints, and its claims in words, from resources/reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssl_ood.common.csv_files import rows_of
from ssl_ood.common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SCALES = {"fraction": 1.0, "percent": 100.0}  # of a share; measurements are fractions
QUOTED = "quoted"  # the status of a reported value
# Columns that reported values have beside those of measurements.
MORE_COLUMNS = ("artefact", "system", "unit", "note")
# Columns of a file of reported values.
PRINTED = (
    "artefact", "train", "ood", "method", "variant", "metric", "score", "unit", "value", "note"
)  # fmt: skip
CLAIMS = "claims_"  # what the names of files of claims start with
NOTES = "notes.csv"  # of what is to be known of the values


class ReportedKey(NamedTuple):
    """What a value of the thesis is of: a strategy and variant of ours, or another system."""

    artefact: str
    in_distribution: str
    dataset: str
    strategy: str = ""
    variant: str = ""
    system: str = ""
    metric: str = "auroc"
    score: str = ""

    @property
    def ours(self) -> bool:
        return not self.system


class Reported(NamedTuple):
    """A value printed in the thesis, in its unit, and what is said of it."""

    value: float
    unit: str
    note: str

    def in_unit(self, unit: str) -> float:
        """The value in another unit; unchanged, to the last digit, in its own."""
        return self.value if unit == self.unit else self.value * SCALES[unit] / SCALES[self.unit]


def read_reported(folder: Path | None) -> pd.DataFrame:
    """Every value in a folder's csv files, as rows like those of measurements; for None no row.

    Columns: `measurements.COLUMNS` and `MORE_COLUMNS`; the value is in its `unit`, as printed. The
    files say `method` of a strategy of ours, which has a variant, and of another system, which has
    none. Raises UserError for a folder that has no values, and for a file that is none of them.
    """
    import pandas as pd

    from ssl_ood.evaluation.measurements import COLUMNS

    rows = []
    for path in sorted(folder.glob("*.csv")) if folder else []:
        own = [] if path.name.startswith((CLAIMS, NOTES)) else read_rows(path, PRINTED)
        for row in own:
            name, ours = row["method"], bool(row["variant"])
            who = {"strategy": name, "system": ""} if ours else {"strategy": "", "system": name}
            same = {key: row[key] for key in ("artefact", "variant", "metric", "score", "unit")}
            rows.append(
                dict.fromkeys(COLUMNS, "")
                | same
                | who
                | {"in_distribution": row["train"], "dataset": row["ood"], "note": row["note"]}
                | {"value": _number(row, path), "status": QUOTED}
            )
    if folder and not rows:
        raise UserError(f"{folder} holds no reported values: correct reported_dir in the config.")
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *MORE_COLUMNS])
    nothing = dict.fromkeys(("temperature", "low", "high"), float("nan"))
    return frame.assign(**nothing, seed=0, n_in=0, n_out=0)


def by_key(frame: pd.DataFrame) -> dict[ReportedKey, Reported]:
    """The reported values by what they are of, in order."""
    keys = zip(*(frame[name] for name in ReportedKey._fields), strict=True)
    values = zip(frame["value"], frame["unit"], frame["note"], strict=True)
    return {ReportedKey(*key): Reported(*value) for key, value in zip(keys, values, strict=True)}


def reported_claims(folder: Path) -> list[dict[str, str]]:
    """Rows (id, where, claim, value, unit) of all claims; UserError where there are none."""
    rows = [row for path in sorted(folder.glob(f"{CLAIMS}*.csv")) for row in read_rows(path)]
    if not rows:
        raise UserError(f"{folder} has no {CLAIMS}*.csv: correct reported_dir in the config.")
    return rows


def read_rows(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a csv file; UserError where it is not there or has not these columns."""
    try:
        return rows_of(path.read_bytes(), str(path), columns)
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: make it first, or correct its path.") from None


def _number(row: dict[str, str], path: Path) -> float:
    try:
        return float(row["value"])
    except ValueError:
        raise UserError(
            f"{path}: the value {row['value']!r} of {row['artefact']} is not a number: write one "
            "with a point, such as 94.2."
        ) from None
