"""What needs no learning: one row per cue, one column per OOD set."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_ood.common.registry import entries, register
from ssl_ood.common.settings import Settings
from ssl_ood.common.vocabulary import NOT_APPLICABLE
from ssl_ood.evaluation.shortcuts.rows import FROM_MEDIAN
from ssl_ood.report.cells import value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.records import Record
from ssl_ood.report.results import NOT_RUN, Results
from ssl_ood.report.shortcuts import record_of, rows_of_pair, status_of
from ssl_ood.report.table_parts import listed, photographs_notes, titles_of_homes

READ = (
    "In a cell: of a number max(a, 1 − a), the better of its two directions, in brackets that of "
    "its distance from the median of the training images. For the latter, for distances (colour, "
    "pixels) and for the rarity of words among the training images no direction is chosen; the "
    "former is chosen by the test AUROC itself, so that it is never below 0.5, and too high by "
    "chance where images are few. Intervals do not know of that."
)


@register(
    "table",
    "shortcuts",
    title="Shortcuts",
    section="shortcuts",
    notes="AUROC of what needs no learning: cues of the images and of their files, one row per "
    "cue, one column per OOD set.",
    needs={"shortcuts"},
    settings=Settings,
)
def shortcuts_table(results: Results) -> Table:
    """Every cue against every OOD set, and the averages over them."""
    homes = results.in_distributions()
    names = [name for home in homes for name in results.ood_sets(home)]
    names += [
        name
        for home in homes
        for name in results.averages(home) * (len(results.ood_sets(home)) > 1)
    ]
    columns = [
        Column("", {"dataset": name}, pieces={results.title("datasets", name): _cell})
        for name in dict.fromkeys(names)
    ]
    nowhere = {home: _nowhere(results, home) for home in homes}
    rows = [
        Row([entry.title], {"in_distribution": home, "cue": entry.name})
        for home in homes
        for entry in entries("cue")
        if entry.name not in nowhere[home]
    ]
    each = [{"from_median": False}, {"from_median": True}]
    shown = [e for e in entries("cue") if any(e.name not in nowhere[home] for home in homes)]
    notes = "; ".join(f"{entry.title}: {entry.notes}" for entry in shown)
    return Grid(results, rows, columns, each, measure=_measure, shortcuts=False).table(
        f"AUROC (%) without any learning; in-distribution: {titles_of_homes(results)}.",
        ["Cue"],
        [
            READ,
            f"Cues: {notes}.",
            "Bold: best of the column, brackets aside. The largest of all, in brackets or not, "
            "stands beside the models as the best shortcut, of the images and of the files.",
            *_nowhere_notes(results, nowhere),
            *photographs_notes(results),
        ],
        best="column",
        about=_about(results),
    )


def _cell(records: Sequence[Record]) -> Cell:
    """A cue's AUROC; empty where the OOD set is not one of the dataset's."""
    return value(records) if records else Cell("")


def _measure(
    results: Results, in_distribution: str, dataset: str, cue: str, from_median: bool
) -> Record | None:
    """The record of a cue; of its distance from the median only where there is one."""
    if dataset not in results.compared(in_distribution):
        return None
    rows = rows_of_pair(results, in_distribution, dataset)
    rows = rows[(rows["score"] == cue) & ((rows["way"] == FROM_MEDIAN) == from_median)]
    status = status_of(results, in_distribution)
    of_group = dataset not in results.ood_sets(in_distribution)
    if not len(rows) and (from_median or (of_group and status == NOT_RUN)):
        return None
    record = record_of(results, in_distribution, dataset, "percent", rows, status)
    return record | {"score": cue}


def _nowhere(results: Results, home: str) -> set[str]:
    """The cues that a dataset, or every OOD set of it, does not have."""
    frame = results.shortcuts
    if frame is None or not (frame["in_distribution"] == home).any():
        return set()
    frame = frame[frame["in_distribution"] == home]
    there = set(frame["score"][frame["status"] != NOT_APPLICABLE])
    return set(frame["score"]) - there


def _nowhere_notes(results: Results, nowhere: dict[str, set[str]]) -> list[str]:
    parts = [
        f"{listed(e.title for e in entries('cue') if e.name in names)} with "
        f"{results.title('datasets', home)}"
        for home, names in nowhere.items()
        if names
    ]
    text = "Not applicable, since files are not there or do not say it: "
    return [text + "; ".join(parts) + "."] if parts else []


def _about(results: Results) -> str:
    homes = [entry["in_distribution"] for entry in results.spec.get("shortcuts", ())]
    level = f"{100 * results.confidence:g} %"
    if len(homes) == len(set(homes)):
        return f"The csv file has {level} intervals over images (DeLong)."
    return (
        f"Mean ± standard deviation over {results.repeats}; the csv file has {level} intervals "
        f"(Student) of the mean over {results.repeats}."
    )
