"""What needs no learning, for tables: records of cues, and the best cue of a pair beside models.

A form that has "shortcuts" in its needs is given their rows; `grid.Grid` then adds the best of them
to its table, as a row where the OOD sets are columns, as a column where they are rows: the best of
what the images show, which a model sees, too, and apart from it the best of what files say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import MEASURED, NO_DATA, NOT_APPLICABLE, SEEDS, SHORTCUT
from ssl_ood.evaluation.shortcuts.rows import FROM_MEDIAN
from ssl_ood.report.cells import DIGITS
from ssl_ood.report.layout import Cell
from ssl_ood.report.records import Record
from ssl_ood.report.reported import SCALES
from ssl_ood.report.results import NOT_RUN, Measurement, Results, Summary, summarise
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "images": "Best shortcut of the images (needs no learning)",
    "files": "Best shortcut of the files (needs no learning)",
}
SELECTED = (
    "Best shortcut: the largest AUROC of any cue of the images, or of their source files, for "
    "which nothing is learned. Cue and direction were chosen by the test AUROC itself, so that it "
    "is too high; it takes no part in the comparison."
)


def cue_title(score: str) -> str:
    """A cue in a few words, for a cell, and how it is read where `beside_models` says so."""
    title = lookup("cue", score.removesuffix(f"_{FROM_MEDIAN}")).title
    return f"{title}, from the median" if score.endswith(f"_{FROM_MEDIAN}") else title


def record_of(
    results: Results, home: str, dataset: str, unit: str, rows: pd.DataFrame, status: str = NOT_RUN
) -> Record:
    """A record, as of `records.measure`, from the rows of one reading of a cue, one a split."""
    measured = rows[rows["status"] == MEASURED]
    columns = (measured[name] for name in ("run", "seed", "value", "low", "high"))
    values = [Measurement(*row) for row in zip(*columns, strict=True)]
    # A split without a number is none to leave out of a mean: another cue would be compared.
    found = summarise(values, results.confidence) if len(measured) == len(rows) else None
    summary = found and found.scaled(SCALES[unit])
    missing = [s for s in rows["status"] if s != MEASURED]
    first = rows.iloc[0] if len(rows) else {"score": "", "way": ""}
    directions = "; ".join(dict.fromkeys(filter(None, rows["direction"])))
    return _record(results, home, dataset, unit, summary) | {
        "score": first["score"],
        "status": SHORTCUT if summary else (missing or [status])[0],
        "way": first["way"],
        "direction": directions if summary else "",
    }


def _record(
    results: Results, home: str, dataset: str, unit: str, summary: Summary | None
) -> Record:
    over = summary and (results.repeats if summary.over == SEEDS else summary.over)
    return {
        "in_distribution": home,
        "dataset": dataset,
        "system": SHORTCUT,
        "method": "",
        "strategy": "",
        "variant": "",
        "score": "",
        "temperature": None,
        "metric": "auroc",
        "unit": unit,
        "measured": summary and summary.mean,
        "spread": summary and summary.spread,
        "low": summary and summary.low,
        "high": summary and summary.high,
        "over": over,
        "n": summary.n if summary else 0,
        "reported": None,
        "difference": None,
        "runs": "",
    }


def kind_of(cue: str) -> str:
    """Whether a cue is of "images" or of their "files"."""
    return "files" if "facts" in lookup("cue", cue).needs else "images"


def kinds(results: Results) -> list[str]:
    """The kinds of shortcuts that stand beside models: those of files where any was measured."""
    measured = results.shortcuts["score"][results.shortcuts["status"] == MEASURED]
    return [kind for kind in TITLES if kind == "images" or kind in set(map(kind_of, measured))]


def rows_of_pair(results: Results, home: str, dataset: str) -> pd.DataFrame:
    """All readings of a dataset against an OOD set, or one of the groups of these."""
    frame = results.shortcuts
    return frame[(frame["in_distribution"] == home) & (frame["dataset"] == dataset)]


def status_of(results: Results, home: str) -> str:
    """Why a dataset has no shortcuts at all."""
    specs = [s for s in results.spec.get("shortcuts", ()) if s["in_distribution"] == home]
    return next((s["status"] for s in specs if "status" in s), NOT_RUN)


def best_shortcut(
    results: Results,
    kind: str,
    in_distribution: str = "",
    dataset: str | Mapping[str, str] = "",
    unit: str = "percent",
    metric: str = "auroc",
    **others: object,
) -> Record | None:
    """The record of the best reading of a pair; None for cells that are of no pair or no AUROC.

    kind: of `TITLES`; dataset: the OOD set, or one for each in-distribution dataset; others: what
    the rows and columns of the table say beside.
    """
    if isinstance(dataset, Mapping):
        dataset = dataset.get(in_distribution, "")
    if not (in_distribution and dataset) or metric != "auroc":
        return None
    if dataset not in results.compared(in_distribution):
        return None
    rows = rows_of_pair(results, in_distribution, dataset)
    rows = rows[rows["score"].map(kind_of) == kind]
    status = status_of(results, in_distribution)
    records = [
        record_of(results, in_distribution, dataset, unit, own, status)
        for _, own in rows.groupby(["score", "way"], sort=False)
    ]
    measured = [record for record in records if record["n"]]
    if measured:
        return max(measured, key=lambda record: record["measured"])
    if len(rows):
        status = NO_DATA if NO_DATA in set(rows["status"]) else NOT_APPLICABLE
    return record_of(results, in_distribution, dataset, unit, rows[:0], status)


def best_cell(records: Sequence[Record]) -> Cell:
    """`0.795 ± 0.003 (view position)`; empty where there is no pair."""
    if not records:
        return Cell("")
    (record,) = records
    if not record["n"]:
        return Cell(record["status"].replace("_", " "), aside=True)
    digits = DIGITS[record["unit"]]
    spread = number(record["spread"], digits)
    plus = "" if record["n"] == 1 else f" ± {spread}"
    rest = f"{plus} ({cue_title(record['score'])})"
    return Cell(number(record["measured"], digits), rest, aside=True)


def beside_models(record: Record) -> Record:
    """A record of a cue with the columns of a model's: how it is read stands in its score."""
    record = dict(record)
    way, _ = record.pop("way"), record.pop("direction")
    return record | ({"score": f"{record['score']}_{way}"} if way == FROM_MEDIAN else {})
