"""Points with thin bars, coloured and marked by what they are of: what most figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssl_ood.report.figures.style import Style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def semantics(name: str, styles: Mapping[str, Style]) -> dict[str, Any]:
    """Arguments of seaborn's relational plots: column `name` chooses colour and marker."""
    return {
        "hue": name,
        "style": name,
        "hue_order": list(styles),
        "style_order": list(styles),
        "palette": {key: style.colour for key, style in styles.items()},
        "markers": {key: style.marker for key, style in styles.items()},
    }


def draw_bars(
    axes: Axes,
    frame: pd.DataFrame,
    name: str,
    styles: Mapping[str, Style],
    *,
    x: str = "x",
    y: str = "y",
    xerr: Any = None,
    yerr: Any = None,
) -> None:
    """Thin error bars in the colours of column `name`; xerr, yerr: as `Axes.errorbar` takes them.

    A bar whose length is NaN is not drawn.
    """
    axes.errorbar(
        frame[x],
        frame[y],
        xerr=xerr,
        yerr=yerr,
        fmt="none",
        ecolor=[styles[key].colour for key in frame[name]],
        elinewidth=0.8,
        zorder=2,
    )


def draw_points(
    axes: Axes,
    frame: pd.DataFrame,
    name: str,
    styles: Mapping[str, Style],
    *,
    x: str = "x",
    y: str = "y",
    **options: Any,
) -> None:
    """A marker for each row, over the bars; options: of `seaborn.scatterplot`."""
    import seaborn

    look = {"s": 42, "edgecolor": "white", "linewidth": 0.5, "zorder": 3, "legend": False}
    seaborn.scatterplot(frame, x=x, y=y, ax=axes, **semantics(name, styles), **(look | options))


def legend_below(axes: Axes, titles: Mapping[str, str], columns: int, title: str = "") -> None:
    """Moves the legend that seaborn made in `axes` below the figure; titles: of its names."""
    handles, names = axes.get_legend_handles_labels()
    axes.get_legend().remove()
    axes.figure.legend(
        handles,
        [titles.get(name, name) for name in names],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handletextpad=0.2,
        title=title,
        title_fontsize=7.5,
    )
