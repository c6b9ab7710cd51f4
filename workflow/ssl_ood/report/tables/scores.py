"""Two scores of the same models against each other, on every OOD set (chapter 7)."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.common.vocabulary import BASE, SEEDS
from ssl_ood.report.cells import reported, value
from ssl_ood.report.compared import shown_change
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Beside
from ssl_ood.report.paired import Of, difference
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_notes, score_title, titles_of_homes


class ScoresOptions(Beside):
    """Options of the table of scores."""

    scores: Distinct[str] | None = Field(
        None, description="the two scores; without it the first two of the study"
    )


@register(
    "table",
    "scores",
    title="Two scores",
    notes="The AUROC of every strategy by two scores of the same features, and which leads.",
    needs={"measurements", "scores"},
    settings=ScoresOptions,
)
def scores_table(results: Results) -> Table:
    """A row for each OOD set and strategy: both scores, and the first minus the second."""
    if len(results.scores) < 2:
        raise UserError(
            f"{results.spec['name']}: it compares two scores, and its study has one: add another "
            "to evaluation.scores of the study."
        )
    one, other = results.scores[:2]
    quoted = bool(results.reported)
    columns = [
        Column(score_title(score), {"score": score}, "AUROC (%)", _beside(score, quoted))
        for score in (one, other)
    ]
    titles = f"{score_title(one)} − {score_title(other)}"
    lead = {titles: shown_change}
    columns.append(Column("Points", {"score": one, "against": other}, "", lead, best=False))
    grid = Grid(results, _rows(results), columns, measure=_record)
    return grid.table(
        f"Two scores of the same models; in-distribution: {titles_of_homes(results)}.",
        ["OOD set", "Negatives"],
        [
            "Bold: the larger of the two, and a difference whose interval excludes 0.",
            *score_notes((one, other)),
            _tally(grid, one, other),
        ],
        name_homes=True,
    )


def _beside(score: str, quoted: bool) -> dict[str, Any] | None:
    """The measured value and, where values are quoted, the thesis's."""
    return {score_title(score): value, "reported": reported} if quoted else None


def _rows(results: Results) -> list[Row]:
    return [
        Row(
            [results.title("datasets", ood), results.title("strategies", strategy)],
            {"in_distribution": home, "dataset": ood, "strategy": strategy},
            rule=strategy == results.strategies(home)[0],
        )
        for home in results.in_distributions()
        for ood in results.ood_sets(home)
        for strategy in results.strategies(home)
    ]


def _record(
    results: Results,
    in_distribution: str,
    strategy: str,
    *,
    dataset: str,
    score: str,
    against: str = "",
) -> Record:
    """What was measured by a score; with `against` how far it leads over that one, in points."""
    record = measure(results, in_distribution, strategy, dataset=dataset, score=score)
    change = None
    if against:
        scores = score, against
        pair = [
            results.by_seed(in_distribution, strategy, variant=BASE, ood=dataset, score=s)
            for s in scores
        ]
        change = difference(results, *pair, tuple(Of(ood=dataset, score=s) for s in scores), 100.0)
    over = change and (results.repeats if change.over == SEEDS else "images, paired")
    return record | {
        "against": against,
        "change": change and change.mean,
        "change_low": change and change.low,
        "change_high": change and change.high,
        "change_over": "" if change is None or math.isnan(change.low) else over,
    }


def _tally(grid: Grid, one: str, other: str) -> str:
    """How often which score leads, of the pairs whose interval says so."""
    rows = grid.frame.to_dict("records")
    leads = [r for r in rows if r.get("against") and r["change"] is not None]
    leads = [r for r in leads if not math.isnan(r["change"])]
    if not leads:
        return "Nothing has been compared yet."
    tally = Counter(_leader(r) for r in leads)
    return (
        f"Of {len(leads)} pairs of an OOD set and a strategy {score_title(one)} leads in "
        f"{tally[1]}, {score_title(other)} in {tally[-1]}; open: {tally[0]}."
    )


def _leader(record: Record) -> int:
    """1 or -1 where the interval of the lead is above or below 0, else 0."""
    low, high = record["change_low"], record["change_high"]
    return (low > 0) - (high < 0)
