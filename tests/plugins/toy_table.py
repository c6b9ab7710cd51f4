"""A form of a table: the measured AUROCs of all scores, as they are."""

from __future__ import annotations

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.writers import number


class Options(Settings):
    """Options of the table."""

    digits: int = 2


@register(
    "table", "every_score", title="Scores", notes="", needs={"measurements"}, settings=Options
)
def every_score(results):
    """One row per score and OOD set."""
    frame = results.frame
    frame = frame[(frame["metric"] == "auroc") & (frame["dataset"] != "average")]
    digits = results.options.digits
    rows = [
        [Cell(row.score), Cell(row.dataset), Cell(number(100 * row.value, digits))]
        for row in frame.itertuples()
    ]
    records = frame[["run", "score", "dataset", "value"]].to_dict("records")
    header = ["Score", "OOD set", "AUROC (%)"]
    return Table(results.spec["name"], "Every score.", header, rows, records, text_columns=2)
