"""Figures of chapter 6: the strategies as points."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, UNTRAINED
from ssl_ood.measures.metrics import spearman
from ssl_ood.report.figures.points import draw_bars, draw_points, legend_below
from ssl_ood.report.figures.style import GREY, PAGE, Style, new_figure, save_figure, strategy_styles
from ssl_ood.report.options import NearAndFar, Scored
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import model_title
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files

OCCUPIED = "occupied_soft_classes"


def points(results: Results, home: str, x: dict[str, Any], ood: str) -> pd.DataFrame:
    """The strategies for which both the metric `x` and the AUROC of `ood` were measured.

    Means over seeds (x, y) and standard deviations (x_spread, y_spread; NaN for one seed), in
    percent or as a count, and their rank correlation.
    """
    import pandas as pd

    rows = []
    for strategy in results.strategies(home):
        a = results.summary(home, strategy, **x)
        b = results.summary(home, strategy, ood=ood)
        if a is not None and b is not None:
            a, b = a.scaled(1 if x["metric"] == OCCUPIED else 100), b.scaled(100)
            rows.append(
                {
                    "strategy": strategy,
                    "x": a.mean,
                    "x_spread": a.spread,
                    "y": b.mean,
                    "y_spread": b.spread,
                    "n": b.n,
                    "spearman": math.nan,
                    "runs": ";".join(b.runs),
                }
            )
    if not rows:
        raise UserError(
            f"{results.spec['name']}: no strategy on {home} has both {x['metric']} and an AUROC "
            f"against {ood}; compute the metrics of its runs first."
        )
    frame = pd.DataFrame(rows)
    return frame.assign(spearman=spearman(frame["x"], frame["y"]))


def scatter(axes: Axes, frame: pd.DataFrame, styles: dict[str, Style], legend: bool = False):
    """One point per strategy; bars are the standard deviation over seeds."""
    spreads = {"xerr": frame["x_spread"], "yerr": frame["y_spread"]}
    draw_bars(axes, frame, "strategy", styles, **spreads)
    draw_points(axes, frame, "strategy", styles, legend="full" if legend else False)
    axes.margins(0.09)


def correlation_words(frame: pd.DataFrame) -> str:
    """`Spearman ρ = 0.81 over 11 strategies`; of fewer than 3 points there is none."""
    if len(frame) < 3:
        return "too few strategies to rank"
    return f"Spearman ρ = {number(frame['spearman'].iloc[0])} over {len(frame)} strategies"


def styles_of(results: Results, home: str) -> dict[str, Style]:
    """The styles of the strategies of an in-distribution set."""
    return strategy_styles(results.strategies(home), results.spec.get("strategies"))


def seeds_words(frame: pd.DataFrame) -> str:
    """What the error bars are."""
    seeds = frame["n"].max()
    return f"mean ± SD over {seeds} seeds" if seeds > 1 else "one seed"


@register(
    "figure",
    "sensitivity",
    title="AUROC against quality",
    finding=True,
    notes="AUROC near and far, one point per strategy (figure 6.3).",
    needs={"measurements"},
    settings=NearAndFar,
)
def sensitivity_figure(results: Results, _: Files, prefix: Path) -> None:
    """Figure 6.3: AUROC near and far against 10-NN accuracy (top) and sensitivity (bottom)."""
    home = results.in_distributions()[0]
    styles = styles_of(results, home)
    k = results.spec["evaluation"]["knn"]
    rows = [("knn_accuracy", f"{k}-NN accuracy (%)"), ("sensitivity", "Sensitivity (%)")]
    columns = [("Near", results.options.near), ("Far", results.options.far)]
    figure, grid = new_figure(PAGE, 5.6, 2, 2, sharey="col", sharex="row")
    records = []
    for i, (metric, label) in enumerate(rows):
        for j, (role, ood) in enumerate(columns):
            axes, title = grid[i, j], results.title("datasets", ood)
            frame = points(results, home, {"metric": metric}, ood)
            scatter(axes, frame, styles, legend=axes is grid[0, 0])
            axes.set_title(f"{role} OOD: {title}\n{correlation_words(frame)}", loc="left")
            axes.set_xlabel(label)
            axes.set_ylabel("AUROC (%)")
            panel = {"panel": f"{metric}, {ood}", "metric": metric, "dataset": ood}
            records += [panel | row for row in frame.to_dict("records")]
    titles = {name: results.title("strategies", name) for name in styles}
    legend_below(figure, titles, min(len(styles), 4), f"Negatives ({seeds_words(frame)})")
    save_figure(figure, prefix, records)


class NearOptions(Scored):
    """Options of the figure of soft-classes."""

    near: str = Field(description="an OOD set that is like the in-distribution set")


@register(
    "figure",
    "occupied_soft_classes",
    title="Occupied soft-classes",
    notes="Occupied soft-classes by strategy, and against AUROC (paper of 6.2, figure 2).",
    needs={"measurements"},
    settings=NearOptions,
)
def occupied_soft_classes_figure(results: Results, _: Files, prefix: Path) -> None:
    """Figure 2 of the paper: occupied soft-classes by strategy, and against AUROC on the near set.

    The names on the left are the legend of both panels.
    """
    home, near = results.in_distributions()[0], results.options.near
    frame = points(results, home, {"metric": OCCUPIED}, near)
    rows = _with_untrained(results, home, frame)
    styles = styles_of(results, home) | {UNTRAINED: Style(GREY, "o")}
    figure, grid = new_figure(PAGE, max(1.0 + 0.22 * len(rows), 2.8), 1, 2, width_ratios=[1.15, 1])
    left, right = grid[0]
    _draw_counts(left, results, rows, styles)
    left.set_title(
        f"Test images of {results.title('datasets', home)}\n{seeds_words(frame)}", loc="left"
    )
    scatter(right, frame, styles)
    right.set_ylabel("AUROC (%)")
    right.set_title(
        f"Near OOD: {results.title('datasets', near)}\n{correlation_words(frame)}", loc="left"
    )
    total = results.summary(home, frame["strategy"].iloc[0], metric="log_k")
    of_all = f" of {round(math.exp(total.mean))}" if total else ""
    for axes in grid[0]:
        axes.set_xlabel(f"Occupied soft-classes{of_all}")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panel = {"panel": f"occupied, {near}", "dataset": near}
    save_figure(figure, prefix, [panel | row for row in frame.to_dict("records")])


def _draw_counts(
    axes: Axes, results: Results, rows: pd.DataFrame, styles: dict[str, Style]
) -> None:
    """A bar per row, ending in the point of its strategy; a broken line at no negatives."""
    import seaborn

    colours = {name: style.colour for name, style in styles.items()}
    look = {"palette": colours, "saturation": 1, "alpha": 0.25, "linewidth": 0, "width": 0.62}
    seaborn.barplot(rows, x="x", y="strategy", hue="strategy", legend=False, ax=axes, **look)
    places = rows.assign(y=range(len(rows)))
    draw_bars(axes, places, "strategy", styles, xerr=rows["x_spread"])
    draw_points(axes, places, "strategy", styles)
    variants = [UNTRAINED if name == UNTRAINED else BASE for name in rows["strategy"]]
    titles = map(partial(model_title, results), rows["strategy"], variants)
    axes.set_yticks(range(len(rows)), list(titles))
    axes.set_ylabel("")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlim(0, 1.08 * (rows["x"] + rows["x_spread"].fillna(0)).max())
    for count in rows["x"][rows["strategy"] == NO_NEGATIVES]:
        axes.axvline(count, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)


def _with_untrained(results: Results, home: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The points with one of the untrained network below them, where that was measured."""
    import pandas as pd

    untrained = results.summary(home, NO_NEGATIVES, variant=UNTRAINED, metric=OCCUPIED)
    if untrained is None:
        return frame
    row = {"strategy": UNTRAINED, "x": untrained.mean, "x_spread": untrained.spread}
    return pd.concat([frame, pd.DataFrame([row])], ignore_index=True)
