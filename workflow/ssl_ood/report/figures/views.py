"""Figures of what a training sees: negatives and augmented views; drawn in `pictures`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings

if TYPE_CHECKING:
    from ssl_ood.report.make import Files
    from ssl_ood.report.results import Results


@register(
    "figure",
    "negatives",
    title="Negatives",
    section="negatives",
    notes="What each negative strategy draws, one row per strategy (figure 6.2).",
    needs={"views"},
    settings=Settings,
)
def negatives_figure(results: Results, files: Files, prefix: Path) -> None:
    """Figure 6.2: one row per strategy, the same source images throughout."""
    from ssl_ood.report.figures.pictures import draw_negatives

    draw_negatives(results.spec, files.data, prefix)


@register(
    "figure",
    "views",
    title="Views",
    section="negatives",
    notes="Images, their views and, where the method has them, negatives and theirs (figure 5.1).",
    needs={"views"},
    settings=Settings,
)
def views_figure(results: Results, files: Files, prefix: Path) -> None:
    """Figure 5.1 and its like: what the networks of the first run are shown."""
    from ssl_ood.report.figures.pictures import draw_views

    draw_views(results.spec, files.data, prefix)
