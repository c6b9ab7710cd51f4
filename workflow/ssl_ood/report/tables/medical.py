"""Table 7.3: the shifting transformations on medical images, two scores in a cell."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Many
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import NOT_RUN, Results
from ssl_ood.report.table_parts import (
    Column,
    Entry,
    difference,
    is_empty,
    measure,
    score_notes,
    score_title,
    seeds_note,
    titles_of,
)
from ssl_ood.report.writers import MISSING, embolden, measured_cell, number

DIGITS = 3
REPORTED, DIFFERENCE = Cell("  reported", aside=True), Cell("  Δ", aside=True)


class ShiftsOptions(Beside):
    """Options of the table of shifts."""

    scores: Many[str] | None = Field(None, description="its scores; without it all of the study")


@register(
    "table",
    "shifts_medical",
    title="Shifts on medical images",
    notes="Several scores in one cell, one column per shift of the negatives (table 7.3).",
    needs={"measurements"},
    settings=ShiftsOptions,
)
def shifts_medical_table(results: Results) -> Table:
    """A row an OOD set, a column a strategy; a cell is `S_md (S_cs)`, bold by the first of them."""
    homes, scores = results.in_distributions(), results.scores
    strategies = _in_order({home: results.strategies(home) for home in homes})
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        own = results.strategies(home)
        for i, ood in enumerate(results.ood_sets(home)):
            found = [
                [
                    measure(results, home, s, Column("", ood=ood, unit="fraction", score=score))
                    for score in scores
                ]
                if s in own
                else []
                for s in strategies
            ]
            lead = [
                Cell(results.title("datasets", home) if i == 0 else ""),
                Cell(results.title("datasets", ood)),
            ]
            cells = [*lead, *(_measured(entries) for entries in found)]
            rows.append(embolden(cells, range(2, len(cells))))
            below = [
                Cell(_joined([number(e.reported, DIGITS) for e in entries]), aside=True)
                for entries in found
            ]
            deltas = [
                Cell(_joined([difference(e, DIGITS) for e in entries]), aside=True)
                for entries in found
            ]
            if not is_empty(below):
                rows.append([Cell(""), REPORTED, *below])
            if not is_empty(deltas):
                rows.append([Cell(""), DIFFERENCE, *deltas])
            records += [e.record for entries in found for e in entries]
            summaries += [e.summary for entries in found for e in entries]
    words = _joined([score_title(score) for score in scores])
    caption = (
        f"AUROC with different shifts of the negatives; in-distribution: "
        f"{titles_of(results, 'datasets', homes)}. In a cell: {words}."
    )
    by = f" by the first score, {score_title(scores[0])}" if len(scores) > 1 else ""
    notes = [seeds_note(summaries, results), f"Bold: best of the row{by}.", *score_notes(scores)]
    header = ["In-distribution", "OOD set", *(results.title("strategies", s) for s in strategies)]
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        [],
        False,
        frozenset(rules),
        notes,
        text_columns=2,
    )


def _in_order(named: dict[str, list[str]]) -> list[str]:
    """All strategies; the longest list says the order, so that one left out moves none."""
    lists = sorted(named.values(), key=len, reverse=True)
    return list(dict.fromkeys(s for strategies in lists for s in strategies))


def _measured(entries: Sequence[Entry]) -> Cell:
    """`0.941 ± 0.002 (0.764 ± 0.010)`: the first score, the others in brackets."""
    if all(entry.summary is None for entry in entries):
        return measured_cell(None, status=entries[0].status if entries else NOT_RUN)
    first, *others = (measured_cell(entry.summary, DIGITS, entry.status) for entry in entries)
    inside = ", ".join(cell.value + cell.rest for cell in others)
    return first._replace(rest=first.rest + (f" ({inside})" if others else ""))


def _joined(values: Sequence[str]) -> str:
    """`a (b)`; one dash where all are missing."""
    if all(value == MISSING for value in values):
        return MISSING
    first, *others = values
    return f"{first} ({', '.join(others)})" if others else first
