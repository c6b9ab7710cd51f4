"""Where a number of a table comes from: its row of the csv file, the rows of the measurements that
this is the mean of, the run's training and evaluation, its settings, images and commit.

Whoever follows a chain reads every file of it through its proof (`common.proofs`).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.proofs import damaged, is_whole, read_rows
from ssl_ood.common.vocabulary import MEASURED, SHORTCUT
from ssl_ood.datasets.names import CROP, at_size, packed_path
from ssl_ood.evaluation.shortcuts.rows import FROM_MEDIAN
from ssl_ood.report.layout import Table
from ssl_ood.report.reported import SCALES

if TYPE_CHECKING:
    import pandas as pd

SAME = 1e-9  # relative: a mean is not always summed in the same order
MEASUREMENTS, SHORTCUTS = "measurements", "shortcuts"  # folders of rows


@dataclass(frozen=True)
class Origin:
    """A measured value that a number rests on.

    run: the run, or the pair of sets where nothing is learned; file: below the results folder; row:
    of that file, from 0; value, low, high: in the unit of the file, NaN where there is none; n_in,
    n_out: images on either side.
    """

    run: str
    file: str
    row: int
    dataset: str
    score: str
    temperature: float
    metric: str
    value: float
    low: float
    high: float
    n_in: int
    n_out: int


class Chains:
    """The tables of a results folder, and where their numbers come from; each file is read once."""

    def __init__(self, results: Path) -> None:
        self.results = Path(results)
        self._tables: dict[str, Table] = {}
        self._frames: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {}

    def table(self, name: str) -> Table:
        """A table with its records, which are rows of the csv file: texts by column.

        Raises UserError for one that is missing or damaged.
        """
        if name not in self._tables:
            path = self.results / "tables" / f"{name}.json"
            try:
                with open(path.with_suffix(".csv"), encoding="utf-8", newline="") as file:
                    records = list(csv.DictReader(file))
                self._tables[name] = Table.from_json(path.read_text(encoding="utf-8"), records)
            except FileNotFoundError:
                raise UserError(
                    f"There is no table {path}: make it with `snakemake {name}`."
                ) from None
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise damaged("table", path, str(error)) from None
        return self._tables[name]

    def origins(self, table: str, record: dict[str, str]) -> list[Origin]:
        """The measured rows that a record of a table is the mean of; none of a number that is none.

        Such are quoted values, and what a form computes of scores or of several models, as
        differences: of those the column `runs` names the runs. Raises UserError where the mean of
        the rows is not the number.
        """
        if not record.get("measured") or not record.get("metric"):
            return []
        found = [self._origin(*place, record) for place in self._places(table, record)]
        if not found or None in found:
            return []
        mean = math.fsum(o.value for o in found) / len(found) * SCALES.get(record["unit"], 1.0)
        if not math.isclose(mean, float(record["measured"]), rel_tol=SAME, abs_tol=SAME):
            raise UserError(
                f"{table} says {record['measured']} where its measurements say {mean!r} "
                f"({record['metric']} of {record['runs'] or record['score']}): they are of another "
                f"time. Delete {self.results}/tables/{table}.csv and run the workflow again."
            )
        return found

    def _places(self, table: str, record: dict[str, str]) -> list[tuple[str, str]]:
        """The names and folders of the files that a record is made from."""
        if record.get("system") != SHORTCUT:
            return [(run, MEASUREMENTS) for run in record["runs"].split(";") if run]
        pairs = self.spec(table).get("shortcuts", ())
        return [
            (pair["run"], SHORTCUTS)
            for pair in pairs
            if pair["in_distribution"] == record["in_distribution"] and "status" not in pair
        ]

    def _origin(self, name: str, folder: str, record: dict[str, str]) -> Origin | None:
        """The only row of a file that is what a record says; None where there is none."""
        frame, _ = self.measured(name, folder)
        rows = frame[(frame["metric"] == record["metric"]) & (frame["status"] == MEASURED)]
        rows, score = rows[rows["dataset"] == record["dataset"]], record["score"]
        if folder == SHORTCUTS:
            cue = score.removesuffix(f"_{FROM_MEDIAN}")
            from_median = FROM_MEDIAN in (record.get("way"), score.removeprefix(f"{cue}_"))
            rows = rows[(rows["way"] == FROM_MEDIAN) == from_median]
            score = cue
        else:
            at = float(record["temperature"] or "nan")
            rows = rows[rows["temperature"].isna() if math.isnan(at) else rows["temperature"] == at]
        rows = rows[rows["score"] == score]
        if len(rows) != 1:
            return None
        row = rows.iloc[0]
        return Origin(
            name,
            f"{folder}/{name}.parquet",
            int(rows.index[0]),
            **{key: row[key] for key in ("dataset", "score", "metric")},
            **{key: float(row[key]) for key in ("temperature", "value", "low", "high")},
            **{key: int(row[key]) for key in ("n_in", "n_out")},
        )

    def measured(self, name: str, folder: str = MEASUREMENTS) -> tuple[pd.DataFrame, dict]:
        """The rows of measurements/NAME.parquet, or of another folder, and their proof.

        Raises UserError for a file that is missing, damaged or of another run.
        """
        place = f"{folder}/{name}.parquet"
        if place not in self._frames:
            rows, proof = read_rows(self.results / place, folder, name)
            self._frames[place] = rows.to_pandas(), proof
        return self._frames[place]

    def spec(self, table: str) -> dict[str, Any]:
        """What a table was asked for."""
        return self._json(f"specs/{table}.json")

    def runs(self, table: str) -> tuple[str, ...]:
        """The runs that a table is made from, those of the methods it compares with included."""
        spec = self.spec(table)
        told = [spec, *spec.get("baselines", {}).values()]
        return tuple(r["run"] for of in told for r in of["runs"] if "status" not in r)

    # ---- what a run was made from

    def training(self, run: str) -> dict[str, Any]:
        """runs/RUN/train.json: versions, commit, checksums of images, device and time.

        Raises UserError for one that is missing or not what the training wrote.
        """
        told = self._json(f"runs/{run}/train.json")
        if not is_whole(told):
            raise damaged("training", self.results / f"runs/{run}/train.json", "its seal differs")
        return told

    def settings(self, run: str) -> dict[str, Any]:
        """runs/RUN/config.json: all settings of a training."""
        return self._json(f"runs/{run}/config.json")

    def image_sets(self, run: str) -> dict[str, dict[str, str]]:
        """The packed sets of a run by their folder below data/, with the SHA-256 of their images
        and labels as the training and the evaluation saw them.

        Raises UserError where the two differ.
        """
        told, settings = self.training(run), self.settings(run)
        seen: dict[str, dict[str, str]] = {}
        for path, checksum in told["datasets"].items():
            seen[path] = {"images": checksum, "labels": told.get("labels", {}).get(path, "")}
        _, proof = self.measured(run)
        for name, checksums in proof["inputs"].get("sets", {}).items():
            path = _path_of(name, settings)
            before = seen.setdefault(path, checksums)
            if before["images"] != checksums["images"]:
                raise UserError(
                    f"{run} was trained on other images of {path} than it was evaluated on: delete "
                    f"{self.results}/measurements/{run}.parquet and run the workflow again."
                )
        return seen

    def _json(self, place: str) -> Any:
        path = self.results / place
        try:
            return read_json(path)
        except FileNotFoundError:
            raise UserError(f"There is no {path}: the workflow makes it.") from None
        except (OSError, ValueError) as error:
            raise damaged("contents of", path, str(error)) from None


def _path_of(name: str, settings: dict[str, Any]) -> str:
    """The folder below data/ of a set by its name in a proof: svhn-test, lsun-test@256."""
    name, size = at_size(name)
    dataset, _, split = name.partition("-")
    return packed_path(dataset, split, size or settings["size"], settings.get("fit", CROP))
