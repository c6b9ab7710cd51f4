"""Table 7.3: the shifting transformations on medical images, several scores in a cell."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.report.draft import Draft, best_in_row, difference, measured
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import Column, Entry, score_notes, score_title, titles_of
from ssl_ood.report.writers import MISSING, measured_cell, number

DIGITS = 3
REPORTED, DIFFERENCE = Cell("  reported", aside=True), Cell("  Δ", aside=True)


class ShiftsOptions(Beside):
    """Options of the table of shifts."""

    scores: Distinct[str] | None = Field(
        None, description="its scores; without it all of the study"
    )


@register(
    "table",
    "shifts_medical",
    title="Shifts on medical images",
    notes="Several scores in one cell, one column per shift of the negatives (table 7.3).",
    needs={"measurements"},
    settings=ShiftsOptions,
)
def shifts_medical_table(results: Results) -> Table:
    """A cell is `0.941 (0.764)`: the first score, the others in brackets."""
    homes, scores = results.in_distributions(), results.scores
    strategies = _in_order([results.strategies(home) for home in homes])
    draft = Draft(results, ["OOD set"], show_home=True)

    def entries_of(home: str, ood: str, strategy: str) -> list[Entry]:
        if strategy not in results.strategies(home):
            return []
        columns = [Column("", ood=ood, unit="fraction", score=score) for score in scores]
        return [draft.measure(home, strategy, column) for column in columns]

    for home in homes:
        for ood in results.ood_sets(home):
            entries = [entries_of(home, ood, strategy) for strategy in strategies]
            cells = [Cell(results.title("datasets", ood)), *map(_measured, entries)]
            reported = [[number(e.reported, DIGITS) for e in each] for each in entries]
            deltas = [[difference(e, DIGITS) for e in each] for each in entries]
            draft.add(
                home,
                best_in_row(cells, 1),
                [REPORTED, *(Cell(_joined(values), aside=True) for values in reported)],
                [DIFFERENCE, *(Cell(_joined(values), aside=True) for values in deltas)],
            )
    by = f" by the first score, {score_title(scores[0])}" if len(scores) > 1 else ""
    return draft.table(
        "AUROC with different shifts of the negatives; in-distribution: "
        f"{titles_of(results, 'datasets', homes)}. In a cell: "
        f"{_joined([score_title(score) for score in scores])}.",
        [results.title("strategies", s) for s in strategies],
        [f"Bold: best of the row{by}.", *score_notes(scores)],
    )


def _in_order(lists: list[list[str]]) -> list[str]:
    """All strategies; the longest list says the order, so that one left out moves none."""
    longest_first = sorted(lists, key=len, reverse=True)
    return list(dict.fromkeys(s for strategies in longest_first for s in strategies))


def _measured(entries: Sequence[Entry]) -> Cell:
    """`0.941 ± 0.002 (0.764 ± 0.010)`: the first score, the others in brackets."""
    if not entries:
        return measured_cell(None)
    first, *others = (measured(entry, DIGITS) for entry in entries)
    if not others or all(entry.summary is None for entry in entries):
        return first
    inside = ", ".join(cell.value + cell.rest for cell in others)
    return first._replace(rest=f"{first.rest} ({inside})")


def _joined(values: Sequence[str]) -> str:
    """`a (b)`; one dash where all are missing."""
    if all(value == MISSING for value in values):
        return MISSING
    first, *others = values
    return f"{first} ({', '.join(others)})" if others else first
