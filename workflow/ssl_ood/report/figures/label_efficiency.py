"""figure_label_efficiency: what labels are worth to differently initialised networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.report.figures.points import (
    draw_bars,
    interval_words,
    legend_below,
    semantics,
    truncated_label,
)
from ssl_ood.report.figures.style import (
    COLUMN,
    PLAIN_COLOURS,
    PLAIN_MARKERS,
    Style,
    new_figure,
    save_figure,
)
from ssl_ood.report.options import Titled
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import variant_title
from ssl_ood.report.tables.label_efficiency import (
    ALL,
    fine_tuned,
    initialisations,
    measure_fine_tuned,
    training_images,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ssl_ood.report.make import Files

REPORTED = "Reported in the thesis"
DASHES = ("", (4, 1.5), (5, 1.5, 1, 1.5), (1, 1.2))  # in the order of the initialisations
ROOM = 1.35  # factor from the outermost numbers of labels to the end of the axis, at least
APART = 1.05  # factor between the initialisations at one number of labels, so that bars are seen


@register(
    "figure",
    "label_efficiency",
    title="Label efficiency",
    notes="AUROC against the number of labels, one line per initialisation (figure 5.3).",
    needs={"measurements"},
    settings=Titled,
)
def label_efficiency_figure(results: Results, _: Files, prefix: Path) -> None:
    """Figure 5.3: AUROC against the number of labels, one line per initialisation."""
    homes = results.in_distributions()
    figure, grid = new_figure(COLUMN * 1.25 * len(homes), 3.4, 1, len(homes), sharey=True)
    records = []
    for axes, home in zip(grid[0], homes, strict=True):
        records += _draw(axes, results, home)
    if not records:
        raise UserError(
            f"{results.spec['name']}: no run has an AUROC; compute the metrics of its runs first."
        )
    truncated_label(grid[0, 0], "AUROC (%)", 0, 100.0)
    titles = {name: variant_title(results, name) for name in initialisations(results)}
    legend_below(figure, titles, 2, pad=0.6)
    save_figure(figure, prefix, records)


def _draw(axes: Axes, results: Results, home: str) -> list[dict[str, Any]]:
    """One panel; the rows of its csv, none where nothing was measured."""
    import seaborn

    if not fine_tuned(results, home):
        return []
    names = initialisations(results)
    frame = _points(results, home)
    measured, reported = frame.dropna(subset="measured"), frame.dropna(subset="reported")
    words = _bar_words(results, measured) if len(measured) else "nothing measured yet"
    axes.set_title(f"{results.title('datasets', home)}\n{words}", loc="left")
    if measured.empty:
        return []
    every = {
        name: Style(PLAIN_COLOURS[1:][i % 6], PLAIN_MARKERS[i % len(PLAIN_MARKERS)])
        for i, name in enumerate(names)
    }
    styles = {name: every[name] for name in names if name in set(measured["initialisation"])}
    bars = measured[["below", "above"]].T
    draw_bars(axes, measured, "initialisation", styles, y="measured", yerr=bars)
    seaborn.lineplot(
        measured,
        x="x",
        y="measured",
        ax=axes,
        **semantics("initialisation", styles),
        dashes={name: DASHES[i % len(DASHES)] for i, name in enumerate(names)},
        estimator=None,
        linewidth=1.1,
        markersize=6.5,
        markeredgewidth=0.5,
        zorder=3,
    )
    if len(reported):
        star = {"marker": "*", "s": 110, "facecolors": "none", "linewidths": 1.0, "zorder": 4}
        star["edgecolors"] = [every[name].colour for name in reported["initialisation"]]
        axes.scatter(reported["x"], reported["reported"], label=REPORTED, **star)
    _label_counts(axes, frame, training_images(results, home))
    return frame.drop(columns=["x", "place", "below", "above"]).to_dict("records")


def _points(results: Results, home: str) -> pd.DataFrame:
    """The rows of the csv by initialisation, with where they are drawn.

    place: the number of labels; x: beside it; below, above: lengths of the bars, one standard
    deviation over seeds or the interval over the images of the one run.
    """
    import pandas as pd

    points = fine_tuned(results, home)
    counts = [int(point.labels) for point in points if point.labels != ALL]
    everything = training_images(results, home) or 2 * max(counts, default=1)
    names, rows = initialisations(results), []
    for i, name in enumerate(names):
        for point in points:
            if point.initialisation == name:
                place = everything if point.labels == ALL else int(point.labels)
                x = place * APART ** (i - (len(names) - 1) / 2)
                record = measure_fine_tuned(results, home, point)
                rows.append(record | {"place": place, "x": x})
    frame = pd.DataFrame(rows)
    numbers = ["measured", "spread", "low", "high", "reported", "difference"]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    several = frame["over"] == results.repeats
    return frame.assign(
        below=frame["spread"].where(several, frame["measured"] - frame["low"]),
        above=frame["spread"].where(several, frame["high"] - frame["measured"]),
    )


def _label_counts(axes: Axes, frame: pd.DataFrame, everything: int | None) -> None:
    """The numbers of labels as ticks of a logarithmic axis; `all` with theirs where it is known."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    labels = dict(sorted(zip(frame["place"], frame["labels"], strict=True)))
    axes.xaxis.set_major_locator(FixedLocator(list(labels)))
    axes.xaxis.set_minor_locator(NullLocator())
    known = {ALL: ALL if everything is None else f"{ALL}\n{everything:,}"}
    axes.set_xticklabels([known.get(name, f"{place:,}") for place, name in labels.items()])
    axes.set_xlabel("Labelled training images")
    low, high = axes.get_xlim()  # of a single number, too, the points stand near their tick
    axes.set_xlim(min(low, min(labels) / ROOM), max(high, max(labels) * ROOM))


def _bar_words(results: Results, measured: pd.DataFrame) -> str:
    seeds = measured["n"].max()
    if seeds > 1:
        return f"bars: SD over {seeds} {results.repeats}"
    return f"bars: {interval_words(results, measured['n'])}"
