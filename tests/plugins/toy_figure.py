"""A form of a figure: the measured AUROCs as bars, by seaborn."""

from __future__ import annotations

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings


@register("figure", "bars", title="Bars", notes="", needs={"measurements"}, settings=Settings)
def bars(results, files, prefix):
    """One bar per score."""
    import seaborn

    from ssl_ood.report.figures.style import new_figure, save_figure

    frame = results.frame[results.frame["metric"] == "auroc"]
    figure, axes = new_figure(3, 2)
    seaborn.barplot(frame, x="value", y="score", ax=axes[0, 0], errorbar=None)
    save_figure(figure, prefix, frame[["score", "value"]].to_dict("records"))
