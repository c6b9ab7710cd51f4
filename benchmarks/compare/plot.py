"""The measurement as a figure: images per second of the training, and the ratio of every part."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compare.timing import Comparison, number

OURS, USUAL = "#0072B2", "#8c8c8c"


def draw(parts: list[Comparison], title: str, prefix: Path) -> None:
    """Writes prefix.png, prefix.pdf and the data as prefix.csv."""
    from ssl_ood.report.figures.style import PAGE, new_figure, save_figure

    figure, axes = new_figure(PAGE, max(2.5, 0.3 * len(parts)), 1, 2, width_ratios=(1, 1.25))
    training = [part for part in parts if part.unit == "images"]
    _speeds(axes[0, 0], training)
    _ratios(axes[0, 1], parts)
    figure.suptitle(title, fontsize=8)
    records = []
    for part in parts:
        row: dict = {"part": part.part, "unit": part.unit}
        for name, spread in {**part.speed, "ratio": part.ratio}.items():
            row |= {f"{name}_{key}": value for key, value in vars(spread).items()}
        records.append(row)
    save_figure(figure, prefix, records)


def _speeds(axis, parts: list[Comparison]) -> None:
    """Bars of images per second, the range of the repetitions as a line."""
    height = 0.38
    for offset, side, colour, label in (
        (-height / 2, "ours", OURS, "this project"),
        (height / 2, "usual", USUAL, "the usual way, or the opponent"),
    ):
        spreads = [part.speed[side] for part in parts]
        middle = np.array([s.median for s in spreads])
        y = np.arange(len(parts)) + offset
        axis.barh(y, middle, height, color=colour, label=label)
        errors = [middle - [s.low for s in spreads], [s.high for s in spreads] - middle]
        axis.errorbar(middle, y, xerr=errors, fmt="none", ecolor="black", elinewidth=0.8)
        for at, spread in zip(y, spreads, strict=True):
            axis.annotate(
                number(spread.median), (spread.high, at), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=7,
            )  # fmt: skip
    axis.set_yticks(range(len(parts)), [part.part for part in parts])
    axis.invert_yaxis()
    axis.margins(x=0.16)
    axis.set_xlim(left=0)
    axis.set_xlabel("images per second")
    axis.grid(axis="y", visible=False)
    axis.legend(loc="lower right", frameon=False, borderaxespad=0.1)


def _ratios(axis, parts: list[Comparison]) -> None:
    """Points on a logarithmic axis, 1 marked: as fast as the usual way."""
    ratios = [part.ratio for part in parts]
    middle = np.array([r.median for r in ratios])
    y = np.arange(len(parts))
    errors = [middle - [r.low for r in ratios], [r.high for r in ratios] - middle]
    axis.axvline(1, color="black", linewidth=0.8)
    axis.errorbar(
        middle, y, xerr=errors, fmt="o", color=OURS, ecolor=OURS, elinewidth=1.2, markersize=4.5
    )
    for at, ratio in zip(y, ratios, strict=True):
        axis.annotate(
            f"{number(ratio.median)}×", (ratio.high, at), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=7,
        )  # fmt: skip
    axis.set_xscale("log")
    low, high = min(0.8, *(r.low for r in ratios)), max(r.high for r in ratios)
    axis.set_xlim(low * 0.9, high * 2.2)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
             if low * 0.9 <= t <= high * 2.2]  # fmt: skip
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set_yticks(y, [part.part for part in parts])
    axis.set_ylim(len(parts) - 0.5, -0.5)
    axis.set_xlabel("times as fast as the other side")
    axis.grid(axis="y", visible=False)
