"""Points with thin bars, coloured and marked by what they are of: what most figures are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ssl_ood.report.figures.style import Style
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ssl_ood.report.results import Results


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


def legend_below(
    figure: Figure, titles: Mapping[str, str], columns: int, title: str = "", pad: float = 0.2
) -> None:
    """One legend below the figure in place of those that seaborn made in its axes.

    titles: of the names in them; pad: between marker and title, in letters.
    """
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    figure.legend(
        handles.values(),
        [titles.get(name, name) for name in handles],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handletextpad=pad,
        title=title,
        title_fontsize=7.5,
    )


def interval_words(results: Results, counts: Iterable[int]) -> str:
    """What the bars are: `95 % interval over images`, `... of the mean over 3 seeds`.

    counts: how many seeds, or splits, each value is a mean over.
    """
    fewest, most = min(counts), max(counts)
    level = f"{100 * results.confidence:g} % interval"
    if most == 1:
        return f"{level} over images, one {results.repeats.removesuffix('s')}"
    n = str(most) if fewest == most else f"{fewest} to {most}"
    return f"{level} of the mean over {n} {results.repeats}"


def truncated_label(axes: Axes, title: str, digits: int, one: float) -> None:
    """Names the y axis, and says where it starts, since it does not at 0.

    one: a share of 1 in the axis's unit; it starts at a twentieth of that and ends just above it.
    """
    low, high = axes.get_ylim()
    low = math.floor(20 * low / one) * one / 20
    axes.set_ylim(low, min(high, one + 0.03 * (one - low)))  # a marker at 1 is seen whole
    axes.set_ylabel(f"{title}\n(axis starts at {number(low, digits)})")
