"""The AUROC of every OOD set: tables 6.1 and 6.2, in percent as the thesis prints them."""

from __future__ import annotations

from collections.abc import Sequence

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import AVERAGE
from ssl_ood.report.draft import REPORTED_ROW, Draft, beside, best_in_row, measured, reported
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import (
    Column,
    grouped_by_source,
    other_methods,
    photographs_notes,
    score_words,
    titles_of,
)
from ssl_ood.report.writers import embolden, number

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
    needs={"measurements"},
    settings=Beside,
)
def ood_auroc_table(results: Results) -> Table:
    """Table 6.1: AUROC of ours beside the reported values of other methods."""
    homes, ours = results.in_distributions(), every_strategy(results)
    others, notes = _with_marks(other_methods(results))
    compares = bool(results.reported)
    titles = ["measured", "reported", "Δ"] if compares else ["AUROC"]
    draft = Draft(results, ["OOD set"], show_home=True)
    own = range(1 + len(others), 1 + len(others) + len(ours) * len(titles), len(titles))
    for home in homes:
        for ood in results.ood_sets(home):
            column = Column("", ood=ood)
            cells = [Cell(results.title("datasets", ood))]
            cells += [Cell(number(draft.quote(home, m, column).reported)) for m in others]
            for strategy in ours:
                entry = draft.measure(home, strategy, column)
                cells += beside(entry, 2) if compares else [measured(entry, 2)]
            draft.add(home, embolden(cells, [*range(1, 1 + len(others)), *own]))
    best = "Bold: best of the row"
    best += ", the reported values of our own strategies aside." if compares else "."
    groups = [("Reported", len(others))] if others else []
    groups += [(results.title("strategies", s), len(titles)) for s in ours]
    return draft.table(
        f"AUROC (%) of OOD detection without labels; {score_words(results)}.",
        [*others.values(), *titles * len(ours)],
        [best, *notes, *overlap_notes(results, homes)],
        groups,
        groups_in_markdown=True,
    )


@register(
    "table",
    "negative_sampling",
    title="AUROC by negatives",
    notes="One column per negative strategy, one row per OOD set and their average (table 6.2).",
    needs={"measurements"},
    settings=Beside,
)
def negative_sampling_table(results: Results) -> Table:
    """Table 6.2: AUROC by negative strategy."""
    homes = results.in_distributions()
    strategies, groups = grouped_by_source(results, every_strategy(results))
    draft = Draft(results, ["OOD set"], show_home=len(homes) > 1)
    for home in homes:
        for ood in [*results.ood_sets(home), *results.averages(home)]:
            entries = [draft.measure(home, s, Column("", ood=ood)) for s in strategies]
            cells = [Cell(results.title("datasets", ood)), *(measured(e, 2) for e in entries)]
            below = [REPORTED_ROW, *(reported(entry, 2) for entry in entries)]
            draft.add(home, best_in_row(cells, 1), below, rule=ood == AVERAGE)
    return draft.table(
        f"AUROC (%) of OOD detection with {titles_of(results, 'datasets', homes)} as "
        f"in-distribution and different negative samples; {score_words(results)}.",
        [results.title("strategies", s) for s in strategies],
        [
            "Bold: best of the row.",
            *photographs_notes(results, homes),
            *overlap_notes(results, homes),
        ],
        groups,
    )


def every_strategy(results: Results) -> list[str]:
    """The strategies of all in-distribution datasets."""
    homes = results.in_distributions()
    return list(dict.fromkeys(s for home in homes for s in results.strategies(home)))


def overlap_notes(results: Results, homes: Sequence[str]) -> list[str]:
    """A note on OOD sets that share classes with the in-distribution set."""
    notes = []
    for home in homes:
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
