"""figure_score_distributions: how the anomaly scores of normal and abnormal images are spread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup, register
from ssl_ood.common.vocabulary import BASE
from ssl_ood.evaluation.score_columns import column_name
from ssl_ood.report.figures.style import BOTH, PAGE, SOURCES, new_figure, save_figure
from ssl_ood.report.options import Scored
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_title
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files

TAIL = 0.001  # share of a set's images on either side that may lie beyond the axis
GRID = 400  # points of a curve
COLOURS = (SOURCES[0], BOTH, SOURCES[1], "#009E73", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("", (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65))
TEST = ""  # the in-distribution test images, among the names of OOD sets


@register(
    "figure",
    "score_distributions",
    title="Distributions of a score",
    notes="Densities of a score, one panel per model (paper of 5.2, figure 2).",
    needs={"measurements", "scores"},
    settings=Scored,
)
def score_distributions_figure(results: Results, files: Files, prefix: Path) -> None:
    """Figure 2 of the paper of section 5.2: densities of the score, one panel per model.

    files: scores (parquet) of the runs, named after them. Distances have a logarithmic axis and
    their density is per decade. Of several seeds or splits the mean density is drawn, and each
    thin. Raises UserError where no run has scores.
    """
    panels = _panels(results, {path.stem: path for path in files.scores})
    if not panels:
        raise UserError(
            f"{results.spec['name']}: --scores has no file of its runs; score the runs first."
        )
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    width = 4.6 if columns == 1 else PAGE
    figure, grid = new_figure(width, 2.9 * rows, rows, columns)
    records = []
    for axes, ((home, strategy), runs) in zip(grid.flat, panels.items(), strict=False):
        records += _draw(axes, results, home, strategy, runs)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    save_figure(figure, prefix, records)


def _panels(
    results: Results, files: dict[str, Path]
) -> dict[tuple[str, str], dict[str, dict[str, NDArray]]]:
    """Scores by in-distribution set and strategy, then by run, then by OOD set (base variant)."""
    panels: dict[tuple[str, str], dict[str, dict[str, NDArray]]] = {}
    for run in results.spec["runs"]:
        if run["variant"] == BASE and run["run"] in files:
            scores = _scores(results, files[run["run"]], run)
            panels.setdefault((run["in_distribution"], run["strategy"]), {})[run["run"]] = scores
    return panels


def _scores(results: Results, path: Path, run: dict[str, Any]) -> dict[str, NDArray]:
    from ssl_ood.evaluation.score_files import read_scores

    table = read_scores(path, run["run"])
    name = column_name(results.score, results.tau)
    if name not in table:
        raise UserError(f"{path} has no score {name}: add it to evaluation.scores in the config.")
    values, role = table[name], table["role"]
    scores = {TEST: values[role == "test"]}
    for dataset in run["ood"]:
        scores[dataset] = values[(role == "ood") & (table["dataset"] == dataset)]
    return scores


def _draw(
    axes: Axes, results: Results, home: str, strategy: str, runs: dict[str, dict[str, NDArray]]
) -> list[dict[str, Any]]:
    """One panel; the rows of its csv."""
    everything = [values for scores in runs.values() for values in scores.values()]
    distance = lookup("score", results.score).more.get("distance", False)
    logarithmic = distance and min(v.min() for v in everything) > 0
    scale = np.log10 if logarithmic else np.asarray
    low = min(np.quantile(scale(v), TAIL) for v in everything)
    high = max(np.quantile(scale(v), 1 - TAIL) for v in everything)
    pad = 0.1 * (high - low) or 0.1
    grid = np.linspace(low - pad, high + pad, GRID)
    frame = _curves(results, home, strategy, runs, scale, grid)
    if logarithmic:
        frame["x"], frame["per"] = 10 ** frame["x"], "decade"
    _draw_curves(axes, frame)
    if logarithmic:
        _log_axis(axes, frame["x"].min(), frame["x"].max())
    axes.set_xlim(frame["x"].min(), frame["x"].max())
    axes.set_ylim(bottom=0, top=1.35 * axes.get_ylim()[1])  # room for the legend
    axes.set_yticks([])
    axes.grid(visible=False)
    title = score_title(results.score)
    words = f"{title} distance (squared), log scale" if logarithmic else f"Score: {title}"
    axes.set_xlabel(f"{words}; larger: more anomalous")
    axes.set_ylabel("Density" + (" per decade" if logarithmic else ""))
    scaled = scale(np.concatenate(everything))
    beyond = np.mean((scaled < grid[0]) | (scaled > grid[-1]))
    axes.set_title(_title(results, home, strategy, len(runs), beyond), loc="left")
    labels = [_label(results, home, strategy, name, runs) for name in _sets(results, home)]
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles, labels, loc="upper right", frameon=False, handlelength=2.2, fontsize=7)
    return frame.to_dict("records")


def _draw_curves(axes: Axes, frame: pd.DataFrame) -> None:
    """The mean density of each set, filled below, and thin those of each run, if several."""
    import seaborn

    sets = list(frame["set"].unique())
    palette = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sets)}
    dashes = {name: DASHES[i % len(DASHES)] for i, name in enumerate(sets)}
    means = frame.groupby(["set", "x"], sort=False, as_index=False)["density"].mean()
    look = {"x": "x", "y": "density", "hue": "set", "palette": palette, "ax": axes}
    seaborn.lineplot(means, style="set", dashes=dashes, estimator=None, linewidth=1.3, **look)
    for name, curve in means.groupby("set"):
        axes.fill_between(curve["x"], curve["density"], color=palette[name], alpha=0.15, lw=0)
    if frame["run"].nunique() > 1:
        thin = {"units": "run", "estimator": None, "linewidth": 0.4, "alpha": 0.5}
        seaborn.lineplot(frame, legend=False, **thin, **look)


def _sets(results: Results, home: str) -> list[str]:
    return [TEST, *results.ood_sets(home)]


def _curves(
    results: Results,
    home: str,
    strategy: str,
    runs: dict[str, dict[str, NDArray]],
    scale: Callable[[NDArray], NDArray],
    grid: NDArray,
) -> pd.DataFrame:
    """Densities of the scaled scores at the grid, by set and run: the columns of the csv."""
    import pandas as pd

    return pd.concat(
        (
            pd.DataFrame(
                {
                    "in_distribution": home,
                    "strategy": strategy,
                    "run": run,
                    "set": name or home,
                    "role": "ood" if name else "test",
                    "n": len(scores[name]),
                    "score": results.score,
                    "temperature": results.tau,
                    "x": grid,
                    "density": density(scale(scores[name]), grid),
                    "per": "unit",
                }
            )
            for name in _sets(results, home)
            for run, scores in runs.items()
        ),
        ignore_index=True,
    )


def _log_axis(axes: Axes, low: float, high: float) -> None:
    """Ticks at 1, 2 and 5 times a power of ten; only at powers where there are many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    few = high / low < 300
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(results: Results, home: str, strategy: str, name: str, runs: dict) -> str:
    counts = sorted({len(scores[name]) for scores in runs.values()})
    n = " to ".join(f"{count:,}" for count in dict.fromkeys([counts[0], counts[-1]]))
    if not name:
        return f"{results.title('datasets', home)}, test (n = {n})"
    area = results.summary(home, strategy, ood=name)
    words = f", AUROC {number(area.mean, 3)}" if area else ""
    return f"{results.title('datasets', name)} (n = {n}){words}"


def _title(results: Results, home: str, strategy: str, n_runs: int, beyond: float) -> str:
    parts = [f"{results.title('datasets', home)} in-distribution"]
    if len(results.strategies(home)) > 1:
        parts[0] += f", {results.title('strategies', strategy)}"
    if n_runs > 1:
        parts.append(f"thick: mean over {n_runs} {results.repeats}; thin: each of them")
    if beyond > 0:
        parts.append(f"{100 * beyond:.1g} % of the images lie beyond the axis")
    return "\n".join(parts)


def density(values: NDArray, grid: NDArray) -> NDArray:
    """Gaussian kernel density of (n,) values at (g,) points, with Silverman's bandwidth.

    The bandwidth is 0.9 min(SD, IQR / 1.34) n^(-1/5), robust against a few far values.
    """
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    spread = min(spread, (quartiles[1] - quartiles[0]) / 1.34) or spread
    width = 0.9 * spread * len(values) ** -0.2 or (grid[1] - grid[0])
    total = np.zeros(len(grid))
    for first in range(0, len(values), 4096):
        offsets = (grid[:, None] - values[None, first : first + 4096]) / width
        total += np.exp(-0.5 * offsets**2).sum(1)
    return total / (len(values) * width * np.sqrt(2 * np.pi))
