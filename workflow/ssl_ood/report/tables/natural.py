"""Tables of chapter 6: AUROC of ours beside the reported values.

Shares are printed as the thesis prints them: in percent in chapter 6 and for accuracies and label
efficiency, as fractions elsewhere in chapters 5 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssl_ood.common.registry import register
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import (
    REPORTED_ROW,
    Column,
    difference,
    grouped_by_source,
    is_empty,
    measure,
    other_methods,
    photographs_note,
    reported_cell,
    reported_record,
    reported_value,
    score_words,
    seeds_note,
    titles_of,
)
from ssl_ood.report.writers import embolden, measured_cell, number

# OOD sets that share classes with an in-distribution set: its AUROC cannot reach 1.
OVERLAPS = {
    "cifar10": ("9 of the 10 classes of {} also occur in {}", ("stl10",)),
    "cifar100": ("classes of {} also occur in {}", ("imagenet30", "tinyimagenet", "places365")),
}
MARKS = ("*", "†", "‡", "§")


def overlap_notes(results: Results, homes: Sequence[str]) -> list[str]:
    """A note on OOD sets that share classes with the in-distribution set."""
    notes = []
    for home in homes:
        words, names = OVERLAPS.get(home, ("", ()))
        shown = [results.title("datasets", s) for s in results.ood_sets(home) if s in names]
        if shown:
            notes.append(words.format(results.title("datasets", home), ", ".join(shown)))
    return [f"Class overlap: {'; '.join(notes)}. Evaluated all the same."] if notes else []


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
    homes = results.in_distributions()
    ours = list(dict.fromkeys(s for home in homes for s in results.strategies(home)))
    others, notes = _with_marks(other_methods(results))
    shows_reported = bool(results.reported)
    per_strategy = ["measured", "reported", "Δ"] if shows_reported else ["AUROC"]
    header = ["In-distribution", "OOD set", *others.values(), *per_strategy * len(ours)]
    groups = [("", 2)] + ([("Reported", len(others))] if others else [])
    groups += [(results.title("strategies", s), len(per_strategy)) for s in ours]
    first_measured = 2 + len(others)
    candidates = [*range(2, first_measured)]
    candidates += [first_measured + i * len(per_strategy) for i in range(len(ours))]
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        for i, ood in enumerate(results.ood_sets(home)):
            column = Column("", ood=ood)
            cells = [
                Cell(results.title("datasets", home) if i == 0 else ""),
                Cell(results.title("datasets", ood)),
            ]
            for method in others:
                value = reported_value(results, home, method, column, variant="")
                cells.append(Cell(number(value)))
                if value is not None:
                    records.append(reported_record(results, home, column, method, value))
            for strategy in ours:
                found = measure(results, home, strategy, column)
                cells.append(measured_cell(found.summary, status=found.status))
                if shows_reported:
                    cells += [Cell(number(found.reported)), Cell(difference(found, 2))]
                records.append(found.record)
                summaries.append(found.summary)
            rows.append(embolden(cells, candidates))
    best = "Bold: best of the row"
    best += ", the reported values of our own strategies aside." if shows_reported else "."
    notes = [seeds_note(summaries, results), best, *notes, *overlap_notes(results, homes)]
    caption = f"AUROC (%) of OOD detection without labels; {score_words(results)}."
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        groups,
        True,
        frozenset(rules),
        notes,
        text_columns=2,
    )


def _with_marks(methods: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Titles with footnote marks of methods, and the footnotes. methods: notes by method."""
    marks = dict(zip(dict.fromkeys(filter(None, methods.values())), MARKS, strict=False))
    titles = {method: method + marks.get(note, "") for method, note in methods.items()}
    return titles, [f"{mark} {note[0].upper()}{note[1:]}." for note, mark in marks.items()]


@register(
    "table",
    "negative_sampling",
    title="AUROC by negatives",
    notes="One column per negative strategy, one row per OOD set and their average (table 6.2).",
    needs={"measurements"},
    settings=Beside,
)
def negative_sampling_table(results: Results) -> Table:
    """Table 6.2: AUROC by negative strategy, a row an OOD set and their average."""
    homes = results.in_distributions()
    several = len(homes) > 1
    strategies = list(dict.fromkeys(s for home in homes for s in results.strategies(home)))
    strategies, groups = grouped_by_source(results, strategies)
    header = ["In-distribution"] * several + ["OOD set"]
    header += [results.title("strategies", s) for s in strategies]
    groups = [("", 1 + several), *groups] if groups else []
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        sets = results.ood_sets(home)
        for i, ood in enumerate([*sets, *results.averages(home)]):
            rules += [len(rows)] * (i == len(sets))
            lead = [Cell(results.title("datasets", home) if i == 0 else "")] * several
            cells = [*lead, Cell(results.title("datasets", ood))]
            below = [Cell("")] * several + [REPORTED_ROW]
            for strategy in strategies:
                found = measure(results, home, strategy, Column("", ood=ood))
                cells.append(measured_cell(found.summary, status=found.status))
                below.append(reported_cell(found, 2))
                records.append(found.record)
                summaries.append(found.summary)
            rows.append(embolden(cells, range(1 + several, len(cells))))
            if not is_empty(below[1 + several :]):
                rows.append(below)
    notes = [seeds_note(summaries, results), "Bold: best of the row."]
    notes += [note for home in homes for note in photographs_note(results, home)]
    notes += overlap_notes(results, homes)
    titles = titles_of(results, "datasets", homes)
    caption = (
        f"AUROC (%) of OOD detection with {titles} as in-distribution and different negative "
        f"samples; {score_words(results)}."
    )
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        groups,
        False,
        frozenset(rules),
        notes,
        text_columns=1 + several,
    )
