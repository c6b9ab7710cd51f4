"""The values that the thesis prints, and its claims in words, from resources/reported."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ssl_ood.common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SCALES = {"fraction": 1.0, "percent": 100.0}  # of a share; measurements are fractions
QUOTED = "quoted"  # the status of a reported value
# Columns that reported values have beside those of measurements.
MORE_COLUMNS = ("artefact", "system", "unit", "note")
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
    """Every value in a folder's csv files, as rows like those of measurements; none
    where there is no folder.

    Columns: `measurements.COLUMNS` and `MORE_COLUMNS`; the value is in its `unit`, as printed. The
    files say `method` of a strategy of ours, which has a variant, and of another system, which has
    none.
    """
    import pandas as pd

    from ssl_ood.evaluation.measurements import COLUMNS

    rows = []
    for path in sorted(folder.glob("*.csv")) if folder else []:
        for row in [] if path.name.startswith((CLAIMS, NOTES)) else read_rows(path):
            name, ours = row["method"], bool(row["variant"])
            who = {"strategy": name, "system": ""} if ours else {"strategy": "", "system": name}
            same = {key: row[key] for key in ("artefact", "variant", "metric", "score", "unit")}
            rows.append(
                dict.fromkeys(COLUMNS, "")
                | same
                | who
                | {"in_distribution": row["train"], "dataset": row["ood"], "note": row["note"]}
                | {"value": float(row["value"]), "status": QUOTED}
            )
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


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file; UserError where it is not there."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: make it first, or correct its path.") from None
