"""How figures look and are saved: one palette, one marker a shift, deterministic files."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_ood.common.files import atomic_path, write_text
from ssl_ood.report.writers import to_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Okabe and Ito's colours, told apart with every common colour vision; yellow left out on white.
BLACK, GREY = "#000000", "#8c8c8c"
SOURCES = ("#0072B2", "#E69F00", "#56B4E9", "#F0A3C0")  # auxiliary datasets, in order of appearance
IN_DISTRIBUTION, BOTH = "#009E73", "#CC3311"
SHIFTS = {None: "o", "rot90": "s", "rot360": "D", "perm4": "v", "perm16": "^", "pixel_shuffle": "X"}
# Where nothing is told of the strategies: every pair of these differs in shape and colour.
PLAIN_COLOURS = (BLACK, "#0072B2", "#E69F00", "#009E73", "#CC3311", "#56B4E9", "#CC79A7")
PLAIN_MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "p", "h")
LETTERS = 20  # of a footnote in an inch
COLUMN, PAGE = 3.4, 6.8  # inches: a column and the page of a two-column paper
PARAMETERS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.markersize": 5,
    "pdf.fonttype": 42,  # text stays text
    "ps.fonttype": 42,
    "svg.hashsalt": "ssl_ood",
}


class Style(NamedTuple):
    """Colour and marker of a strategy."""

    colour: str
    marker: str

    def point(self) -> dict[str, Any]:
        """Arguments of `Axes.errorbar` for a point with thin error bars."""
        return {
            "fmt": self.marker,
            "color": self.colour,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
            "markersize": 6.5,
            "ecolor": self.colour,
            "elinewidth": 0.8,
            "capsize": 0,
        }


def strategy_styles(
    strategies: Sequence[str], pairs: dict[str, list[dict[str, str]]] | None
) -> dict[str, Style]:
    """A style a strategy: the colour tells the source of its negatives, the marker their shift.

    pairs: the (source, shift) pairs of every strategy, as in the config; None or a strategy that
    looks like another one: colours and markers by position.
    """
    styles: dict[str, Style] = {}
    auxiliary: list[str] = []
    for i, name in enumerate(strategies):
        plain = Style(PLAIN_COLOURS[i % len(PLAIN_COLOURS)], PLAIN_MARKERS[i % len(PLAIN_MARKERS)])
        if pairs is None or name not in pairs:
            styles[name] = plain
            continue
        sources = list(dict.fromkeys(pair["source"] for pair in pairs[name]))
        shifts = list(dict.fromkeys(pair.get("shift") for pair in pairs[name]))
        if not sources:
            colour = BLACK
        elif len(sources) > 1:
            colour = BOTH
        elif sources == ["in_distribution"]:
            colour = IN_DISTRIBUTION
        else:
            if sources[0] not in auxiliary:
                auxiliary.append(sources[0])
            colour = SOURCES[auxiliary.index(sources[0]) % len(SOURCES)]
        style = Style(colour, SHIFTS.get(shifts[0], "P") if len(shifts) == 1 else "o")
        styles[name] = plain if style in styles.values() else style
    return styles


_FOOTNOTE: ContextVar[str] = ContextVar("footnote", default="")


@contextmanager
def house_style(footnote: str = "") -> Iterator[None]:
    """Inside, figures are drawn as here, whatever the person's matplotlibrc, backend and LaTeX are.

    Afterwards the person's settings are back. footnote: printed below every figure.
    """
    token = _FOOTNOTE.set(footnote)
    backend = os.environ.pop("MPLBACKEND", None)  # a name that matplotlib refuses ends its import
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(PARAMETERS)
            yield
    finally:
        _FOOTNOTE.reset(token)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, NDArray]:
    """(figure, array of axes (rows, columns)), in inches; options: of `Figure.subplots`.

    The figure is drawn by Agg and unknown to pyplot, so that no backend of the person's opens.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save_figure(figure: Figure, prefix: Path, records: list[dict[str, Any]]) -> None:
    """Writes prefix.pdf, prefix.png (200 dpi) and prefix.csv; the same data give the same bytes."""
    options = {}
    if footnote := _FOOTNOTE.get():
        width = int(figure.get_figwidth() * LETTERS)
        lines = "\n".join(textwrap.wrap(footnote, width))
        figure.text(0.01, -0.02, lines, ha="left", va="top", fontsize=7)
        options = {"bbox_inches": "tight"}
    for suffix, metadata in (
        ("pdf", {"CreationDate": None, "Creator": "ssl_ood", "Producer": None}),
        ("png", {"Software": None}),
    ):
        with atomic_path(prefix.with_name(f"{prefix.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, dpi=200, metadata=metadata, **options)
    write_text(prefix.with_name(f"{prefix.name}.csv"), to_csv(records))


def draw_nothing(prefix: Path) -> None:
    """A figure of whose data nothing is there: the footnote says what is missing."""
    figure, grid = new_figure(PAGE, 0.4)
    grid[0, 0].set_axis_off()
    grid[0, 0].text(0, 0.5, "No data for this figure", va="center")
    save_figure(figure, prefix, [])
