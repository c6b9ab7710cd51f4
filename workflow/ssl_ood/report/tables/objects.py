"""Figure 2.8 as a table: how well frozen features tell images from scrambled copies of them."""

from __future__ import annotations

from functools import cache

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import NO_NEGATIVES
from ssl_ood.measures.metrics import t_interval
from ssl_ood.report.cells import BESIDE, value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Titled
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Measurement, Results, summarise
from ssl_ood.report.table_parts import titles_of_homes, variant_title

SCORE, ACCURACY = "right_arrangements", "accuracy"


@register(
    "table",
    "objects_texture",
    title="Objects against texture",
    notes="Accuracy of a linear layer on frozen features that tells images from scrambled copies, "
    "one row per network (section 2.2.6, figure 2.8).",
    needs={"measurements", "scores"},
    settings=Titled,
)
def objects_table(results: Results) -> Table:
    """One row per variant, which is the weights that its network has."""
    if SCORE not in results.scores:
        raise UserError(
            f"{results.spec['name']}: its study does not compute {SCORE}: add it to "
            "evaluation.scores of the study."
        )
    rows = [
        Row([variant_title(results, variant)], {"in_distribution": home, "variant": variant})
        for home in results.in_distributions()
        for variant in results.variants(home, NO_NEGATIVES)
    ]
    pieces = BESIDE if results.reported else {"measured": value}
    column = Column("Accuracy (%)", {"metric": ACCURACY, "unit": "percent"}, "", pieces)

    @cache
    def decisions(run: str):
        """The share of right decisions on every test image."""
        from ssl_ood.evaluation.score_files import read_scores

        table = read_scores(results.scores_of[run], run)
        return table[SCORE][table["role"] == "test"]

    def at(_: Results, in_distribution: str, variant: str, metric: str, unit: str) -> Record | None:
        measured = [
            Measurement(
                run["run"], run["seed"], *t_interval(decisions(run["run"]), results.confidence)
            )
            for run in results.spec["runs"]
            if (run["in_distribution"], run["variant"]) == (in_distribution, variant)
            and run["run"] in results.scores_of
        ]
        summary = summarise(measured, results.confidence)
        what = {"variant": variant, "metric": metric, "unit": unit, "summary": summary}
        return measure(results, in_distribution, NO_NEGATIVES, **what)

    return Grid(results, rows, [column], measure=at).table(
        "Accuracy of telling images from copies whose tiles have changed places, by a linear layer "
        f"on the frozen features of the network; images: {titles_of_homes(results)}.",
        ["Network"],
        [
            "On test images, each once as it is and once scrambled; by chance 50 %.",
            "Measured with blended seams, in whole images, too; reported with seams that a network "
            "had filled: no reproduction.",
            "Bold: best of the column.",
        ],
        best="column",
        over_images="Student",
    )
