"""Table 7.3: the shifting transformations on medical images, several scores in a cell."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.report.cells import difference, reported
from ssl_ood.report.grid import Column, Grid
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_notes, score_title, titles_of_homes
from ssl_ood.report.tables.natural import ood_rows


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
    needs={"measurements", "shortcuts"},
    settings=ShiftsOptions,
)
def shifts_medical_table(results: Results) -> Table:
    """A cell is `0.941 (0.764)`: the first score, the others in brackets."""
    homes, scores = results.in_distributions(), results.scores
    run = {home: results.strategies(home) for home in homes}
    # The longest list says the order, so that one left out moves none.
    strategies = dict.fromkeys(
        s for names in sorted(run.values(), key=len, reverse=True) for s in names
    )
    columns = [
        Column(
            results.title("strategies", strategy),
            {"strategy": {home: strategy for home in homes if strategy in run[home]}},
        )
        for strategy in strategies
    ]
    each = [{"score": score, "unit": "fraction"} for score in scores]
    first, *others = map(score_title, scores)
    by = f" by the first score, {first}" if others else ""
    shown = f"{first} ({', '.join(others)})" if others else first
    return Grid(results, ood_rows(results), columns, each).table(
        "AUROC with different shifts of the negatives; in-distribution: "
        f"{titles_of_homes(results)}. In a cell: {shown}.",
        ["OOD set"],
        [f"Bold: best of the row{by}.", *score_notes(scores)],
        below={"  reported": reported, "  Δ": difference},
        name_homes=True,
    )
