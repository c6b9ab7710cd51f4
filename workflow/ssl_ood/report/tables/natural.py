"""The AUROC of every OOD set: tables 6.1 and 6.2, in percent as the thesis prints them."""

from __future__ import annotations

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import AVERAGE
from ssl_ood.report.cells import BESIDE, REPORTED_BELOW, value
from ssl_ood.report.grid import Column, Grid, Piece, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Beside
from ssl_ood.report.records import other_methods
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import (
    grouped_by_source,
    photographs_notes,
    score_words,
    titles_of_homes,
)

# OOD sets that share classes with an in-distribution set: its AUROC cannot reach 1.
OVERLAPS = {
    "cifar10": ("9 of the 10 classes of {} also occur in {}", ("stl10",)),
    "cifar100": ("classes of {} also occur in {}", ("imagenet30", "tinyimagenet", "places365")),
}
MARKS = ("*", "†", "‡", "§")


@register(
    "table",
    "ood_auroc",
    title="AUROC against OOD sets",
    notes="Ours beside the reported values of other methods, one row per OOD set (table 6.1).",
    needs={"measurements", "shortcuts"},
    settings=Beside,
    baselines=True,
)
def ood_auroc_table(results: Results) -> Table:
    """Table 6.1: AUROC of ours beside the reported values of other methods."""
    others, notes = _with_marks(other_methods(results))
    pieces = BESIDE if results.reported else {"AUROC": value}
    columns = [
        Column(others.get(method, method), {"system": method}, "Reported", _pieces(results, method))
        for method in dict.fromkeys([*others, *results.baselines])
    ]
    for strategy in every_strategy(results):
        title = results.title("strategies", strategy)
        columns.append(Column(title, {"strategy": strategy}, pieces=pieces))
    best = "Bold: best of the row"
    best += ", the reported values of our own strategies aside." if results.reported else "."
    return Grid(results, ood_rows(results), columns).table(
        f"AUROC (%) of OOD detection without labels; {score_words(results)}.",
        ["OOD set"],
        [best, *notes, *overlap_notes(results)],
        name_homes=True,
        groups_in_markdown=True,
    )


@register(
    "table",
    "negative_sampling",
    title="AUROC by negatives",
    notes="One column per negative strategy, one row per OOD set and their average (table 6.2).",
    needs={"measurements", "shortcuts"},
    settings=Beside,
)
def negative_sampling_table(results: Results) -> Table:
    """Table 6.2: AUROC by negative strategy."""
    columns = [
        Column(results.title("strategies", strategy), {"strategy": strategy}, group)
        for strategy, group in grouped_by_source(results, every_strategy(results)).items()
    ]
    return Grid(results, ood_rows(results, averages=True), columns).table(
        f"AUROC (%) of OOD detection with {titles_of_homes(results)} as "
        f"in-distribution and different negative samples; {score_words(results)}.",
        ["OOD set"],
        ["Bold: best of the row.", *photographs_notes(results), *overlap_notes(results)],
        below=REPORTED_BELOW,
    )


def _pieces(results: Results, method: str) -> dict[str, Piece] | None:
    """What is printed of another method: measured and reported, where it has both."""
    if method not in results.baselines:
        return None
    return BESIDE if method in other_methods(results) else {"measured": value}


def ood_rows(results: Results, *, averages: bool = False) -> list[Row]:
    """A row for each OOD set of each in-distribution dataset, and for the averages over them."""
    return [
        Row(
            [results.title("datasets", ood)],
            {"in_distribution": home, "dataset": ood},
            rule=ood == AVERAGE,
        )
        for home in results.in_distributions()
        for ood in [*results.ood_sets(home), *results.averages(home) * averages]
    ]


def every_strategy(results: Results) -> list[str]:
    """The strategies of all in-distribution datasets."""
    homes = results.in_distributions()
    return list(dict.fromkeys(s for home in homes for s in results.strategies(home)))


def overlap_notes(results: Results) -> list[str]:
    """A note on OOD sets that share classes with the in-distribution set."""
    notes = []
    for home in results.in_distributions():
        words, names = OVERLAPS.get(home, ("", ()))
        shown = [results.title("datasets", s) for s in results.ood_sets(home) if s in names]
        if shown:
            notes.append(words.format(results.title("datasets", home), ", ".join(shown)))
    return [f"Class overlap: {'; '.join(notes)}. Evaluated all the same."] if notes else []


def _with_marks(methods: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Titles with footnote marks of methods, and the footnotes. methods: notes by method."""
    marks = dict(zip(dict.fromkeys(filter(None, methods.values())), MARKS, strict=False))
    titles = {method: method + marks.get(note, "") for method, note in methods.items()}
    return titles, [f"{mark} {note[0].upper()}{note[1:]}." for note, mark in marks.items()]
