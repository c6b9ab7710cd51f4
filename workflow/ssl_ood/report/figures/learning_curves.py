"""figure_learning_curves: what trainings did, epoch by epoch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings
from ssl_ood.report.figures.points import legend_below
from ssl_ood.report.figures.style import (
    GREY,
    PAGE,
    SHIFTS,
    Style,
    new_figure,
    save_figure,
    strategy_styles,
)
from ssl_ood.report.history import read_history
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import variant_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files

MARKERS = 7  # of a line
FEW = 4  # lines of a panel whose bands can be told apart
SHAPES = {True: (3, 1.75), False: (2, 2.3)}  # columns and inches of a panel's height, for few lines
LINES = ("-", (0, (4, 1.3)), (0, (6, 1.3, 1, 1.3)), ":", "-.", (0, (2, 1)))
DASHES = dict(zip(SHIFTS.values(), LINES, strict=True))  # one line a shift, as one marker


class Curves(Settings):
    """Options of the figure."""

    titles: dict[str, str] = Field({}, description="titles of its variants")


class Curve(NamedTuple):
    """A quantity of the log. factor: from its unit to that which is shown; level: the column of the
    value that it has where nothing is known, or that value."""

    key: str
    title: str
    factor: float = 1.0
    level: str | float | None = None


# The loss on positives stands for the loss where there is one: with negatives of another weight, or
# none, the sums could not be compared.
CURVES = (
    Curve("positive", "Loss on positives (nats)", level="log_k"),
    Curve("loss", "Loss"),
    Curve("teacher_entropy", "Entropy of an output (nats)", level="log_k"),
    Curve("entropy_of_mean", "Entropy of the mean output (nats)", level="log_k"),
    Curve("contrast_accuracy", "Own key first (%)", 100.0),
    Curve("accuracy", "Accuracy on the batch (%)", 100.0),
    Curve("knn_accuracy", "10-NN accuracy, training (%)", 100.0),
    Curve("sensitivity", "Sensitivity, subset (%)", 100.0, 50.0),
)


@register(
    "figure",
    "learning_curves",
    title="Learning curves",
    section="learning_curves",
    notes="Loss, entropies, and 10-NN accuracy and sensitivity of a subset against epochs: one "
    "line per strategy, of several seeds the mean and, as a band where lines are few, the standard "
    "deviation.",
    needs={"history"},
    settings=Curves,
)
def learning_curves_figure(results: Results, files: Files, prefix: Path) -> None:
    """What the logs of the trainings say, a panel per quantity and dataset."""
    lines = read_history(files.history, results.spec)
    shown = {home: _curves(lines[lines["in_distribution"] == home]) for home in _homes(results)}
    shown = {home: curves for home, curves in shown.items() if curves}
    if not shown:
        raise UserError(f"{results.spec['name']}: no run of it was trained for a single epoch.")
    models = list(lines[["strategy", "variant"]].drop_duplicates().itertuples(index=False))
    columns, height = SHAPES[len(models) <= FEW]
    rows = {home: -(-len(curves) // columns) for home, curves in shown.items()}
    total = sum(rows.values())
    figure, grid = new_figure(PAGE, height * total + 0.5, total, columns)
    styles, titles = _styles(results, models), _titles(results, models)
    records: list[dict[str, Any]] = []
    first = 0
    for home, curves in shown.items():
        cells = grid[first : first + rows[home]].ravel()
        first += rows[home]
        for axes, curve in zip(cells, curves, strict=False):
            frame = _summary(lines[lines["in_distribution"] == home], curve)
            _draw(axes, frame, curve, styles)
            records += frame.drop(columns="level").to_dict("records")
            title = curve.title
            if len(shown) > 1:
                title = f"{results.title('datasets', home)}\n{title}"
            axes.set_title(title, loc="left")
        for axes in cells[len(curves) :]:
            axes.set_axis_off()
        for axes in cells[max(len(curves) - columns, 0) : len(curves)]:  # with no panel below
            axes.set_xlabel("Epoch")
    legend_below(figure, titles, 4 if len(models) > 3 else len(models) or 1, pad=0.6)
    save_figure(figure, prefix, records)


def _homes(results: Results) -> list[str]:
    return [home for home in results.in_distributions() if home]


def _curves(lines: pd.DataFrame) -> list[Curve]:
    """The quantities that the logs of a dataset have."""
    there = [c for c in CURVES if c.key in lines and lines[c.key].notna().any()]
    positives = any(curve.key == "positive" for curve in there)
    return [curve for curve in there if not (positives and curve.key == "loss")]


def _summary(lines: pd.DataFrame, curve: Curve) -> pd.DataFrame:
    """One row per strategy, variant and moment: mean and standard deviation over the seeds."""
    logged = lines[lines[curve.key].notna()]
    # Means of some steps where there are any: an epoch's hide what happens within it.
    fine = logged[logged["kind"] != "epoch"]
    coarse = logged[(logged["kind"] == "epoch") & ~logged["run"].isin(fine["run"])]
    import pandas as pd

    logged = pd.concat([fine, coarse])
    level = logged[curve.level] if isinstance(curve.level, str) else (curve.level or math.nan)
    logged = logged.assign(value=curve.factor * logged[curve.key], level=level)
    keys = ["in_distribution", "strategy", "variant", "epoch"]
    grouped = logged.groupby(keys, sort=False).agg(
        mean=("value", "mean"), spread=("value", "std"), n=("value", "size"),
        level=("level", "max"), runs=("run", lambda runs: ";".join(sorted(runs))),
    )  # fmt: skip
    frame = grouped.reset_index().sort_values("epoch", kind="stable")
    return frame.assign(quantity=curve.key)


def _draw(
    axes: Axes, frame: pd.DataFrame, curve: Curve, styles: dict[tuple[str, str], Style]
) -> None:
    """The lines of a panel; where seeds are several, their mean and a band of one deviation.

    The markers of a line are between those of the others, and the name of the level is outside, so
    that neither hides a line.
    """
    if (level := frame["level"].max()) > 0:
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (1, 1)), zorder=1)
        name = "log K" if curve.level == "log_k" else "chance"
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), xytext=(2, 0),
            textcoords="offset points", va="center", fontsize=6.5, color=GREY,
        )  # fmt: skip
    for (strategy, variant), points in frame.groupby(["strategy", "variant"], sort=False):
        style = styles[strategy, variant]
        apart = max(len(points) // MARKERS, 1)
        first = apart * list(styles).index((strategy, variant)) // len(styles)
        axes.plot(
            points["epoch"],
            points["mean"],
            color=style.colour,
            linestyle=DASHES.get(style.marker, "-"),
            linewidth=1.1,
            marker=style.marker,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.3,
            markevery=(first, apart),
            label=f"{strategy} {variant}",
        )
        band = points[points["n"] > 1]
        if len(band) and len(styles) <= FEW:
            low, high = band["mean"] - band["spread"], band["mean"] + band["spread"]
            axes.fill_between(band["epoch"], low, high, color=style.colour, alpha=0.1, linewidth=0)
    axes.set_xlim(left=0)


def _styles(results: Results, models: list[tuple[str, str]]) -> dict[tuple[str, str], Style]:
    """Colour by the source of the negatives, line by their shift; by position where they are of one
    strategy or several variants."""
    pairs = results.spec["strategies"]
    if len({strategy for strategy, _ in models}) < len(models):
        pairs = None
    names = [strategy if pairs else f"{strategy} {variant}" for strategy, variant in models]
    return dict(zip(models, strategy_styles(names, pairs).values(), strict=True))


def _titles(results: Results, models: list[tuple[str, str]]) -> dict[str, str]:
    """Of the lines: the strategy, the variant, or both, whichever differ."""
    strategies, variants = ({model[i] for model in models} for i in (0, 1))
    titles = {}
    for strategy, variant in models:
        parts = [results.title("strategies", strategy)] if len(strategies) > 1 else []
        if len(variants) > 1 or not parts:
            parts.append(variant_title(results, variant))
        titles[f"{strategy} {variant}"] = ", ".join(parts)
    return titles
