"""Figures of chapter 6: the strategies as points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import NO_NEGATIVES, UNTRAINED
from ssl_ood.measures.metrics import spearman
from ssl_ood.report.figures.style import GREY, PAGE, Style, new_figure, save_figure, strategy_styles
from ssl_ood.report.options import NearAndFar, Scored
from ssl_ood.report.results import Results, Summary
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files


class Point(NamedTuple):
    """A strategy in a scatter plot: means over seeds and their spread, in the axes' units."""

    strategy: str
    x: Summary
    y: Summary


def points(results: Results, home: str, x: dict[str, Any], ood: str) -> list[Point]:
    """The strategies for which both the metric `x` and the AUROC of `ood` were measured."""
    found = []
    for strategy in results.strategies(home):
        a = results.summary(home, strategy, **x)
        b = results.summary(home, strategy, ood=ood)
        if a is not None and b is not None:
            scale = 1 if x["metric"] == "occupied_soft_classes" else 100
            found.append(Point(strategy, a.scaled(scale), b.scaled(100)))
    if not found:
        raise UserError(
            f"{results.spec['name']}: no strategy on {home} has both {x['metric']} and an AUROC "
            f"against {ood}; compute the metrics of its runs first."
        )
    return found


def scatter(axes: Axes, found: list[Point], styles: dict[str, Style]) -> None:
    """One point per strategy; bars are the standard deviation over seeds."""
    for point in found:
        bars = [None if math.isnan(s.spread) else s.spread for s in (point.x, point.y)]
        axes.errorbar(
            point.x.mean,
            point.y.mean,
            xerr=bars[0],
            yerr=bars[1],
            zorder=3,
            **styles[point.strategy].point(),
        )
    axes.margins(0.09)


def correlation_words(found: list[Point]) -> str:
    """`Spearman ρ = 0.81 over 11 strategies`; of fewer than 3 points there is none."""
    if len(found) < 3:
        return "too few strategies to rank"
    rho = spearman([p.x.mean for p in found], [p.y.mean for p in found])
    return f"Spearman ρ = {number(rho)} over {len(found)} strategies"


def point_records(found: list[Point], **more: Any) -> list[dict[str, Any]]:
    """Rows of the csv file of a scatter plot."""
    rho = spearman([p.x.mean for p in found], [p.y.mean for p in found])
    return [
        more
        | {
            "strategy": p.strategy,
            "x": p.x.mean,
            "x_spread": p.x.spread,
            "y": p.y.mean,
            "y_spread": p.y.spread,
            "n_seeds": p.y.n,
            "spearman": rho,
            "runs": ";".join(p.y.runs),
        }
        for p in found
    ]


def styles_of(results: Results, home: str) -> dict[str, Style]:
    """The styles of the strategies of an in-distribution set."""
    return strategy_styles(results.strategies(home), results.spec.get("strategies"))


def seeds_words(found: list[Point]) -> str:
    """What the error bars are."""
    seeds = max(p.y.n for p in found)
    return f"mean ± SD over {seeds} seeds" if seeds > 1 else "one seed"


@register(
    "figure",
    "sensitivity",
    title="AUROC against quality",
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
    columns = [("near", results.options["near"]), ("far", results.options["far"])]
    figure, grid = new_figure(PAGE, 5.6, 2, 2, sharey="col", sharex="row")
    records = []
    for i, (metric, label) in enumerate(rows):
        for j, (role, ood) in enumerate(columns):
            axes, title = grid[i, j], results.title("datasets", ood)
            found = points(results, home, {"metric": metric}, ood)
            scatter(axes, found, styles)
            axes.set_title(f"{role} OOD: {title}\n{correlation_words(found)}", loc="left")
            axes.set_xlabel(label)
            axes.set_ylabel("AUROC (%)")
            records += point_records(found, panel=f"{metric}, {ood}", metric=metric, ood=ood)
    _legend_below(figure, grid[0, 0], results, styles, seeds_words(found))
    save_figure(figure, prefix, records)


def _legend_below(figure, axes: Axes, results: Results, styles: dict[str, Style], words: str):
    handles = [
        axes.errorbar([], [], label=results.title("strategies", s), **style.point())
        for s, style in styles.items()
    ]
    figure.legend(
        [h.lines[0] for h in handles],
        [results.title("strategies", s) for s in styles],
        loc="outside lower center",
        ncols=min(len(styles), 4),
        frameon=False,
        handletextpad=0.2,
        title=f"Negatives ({words})",
        title_fontsize=7.5,
    )


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
    home, near = results.in_distributions()[0], results.options["near"]
    styles = styles_of(results, home)
    metric = {"metric": "occupied_soft_classes"}
    found = points(results, home, metric, near)
    bars = [(results.title("strategies", p.strategy), p.x, styles[p.strategy]) for p in found]
    untrained = results.summary(home, NO_NEGATIVES, variant=UNTRAINED, **metric)
    if untrained is not None:
        bars.append(("Untrained network", untrained, Style(GREY, "o")))
    height = 1.0 + 0.22 * len(bars)
    figure, grid = new_figure(PAGE, max(height, 2.8), 1, 2, width_ratios=[1.15, 1])
    left, right = grid[0]
    for i, (_name, summary, style) in enumerate(bars):
        left.barh(i, summary.mean, height=0.62, color=style.colour, alpha=0.25, linewidth=0)
        spread = None if math.isnan(summary.spread) else summary.spread
        left.errorbar(summary.mean, i, xerr=spread, zorder=3, **style.point())
    left.set_yticks(range(len(bars)), [name for name, *_ in bars])
    left.invert_yaxis()
    left.grid(visible=False, axis="y")
    left.tick_params(axis="y", length=0)
    left.set_xlim(
        0, 1.08 * max(s.mean + (0 if math.isnan(s.spread) else s.spread) for _, s, _ in bars)
    )
    total = results.summary(home, found[0].strategy, metric="log_k")
    of_all = f" of {round(math.exp(total.mean))}" if total else ""
    left.set_xlabel(f"Occupied soft-classes{of_all}")
    none = next((p.x.mean for p in found if p.strategy == NO_NEGATIVES), None)
    if none is not None:
        left.axvline(none, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    left.set_title(
        f"Test images of {results.title('datasets', home)}\n{seeds_words(found)}", loc="left"
    )
    scatter(right, found, styles)
    title = results.title("datasets", near)
    right.set_xlabel(f"Occupied soft-classes{of_all}")
    right.set_ylabel("AUROC (%)")
    right.set_title(f"near OOD: {title}\n{correlation_words(found)}", loc="left")
    save_figure(figure, prefix, point_records(found, panel=f"occupied, {near}", ood=near))
