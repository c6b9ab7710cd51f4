"""Figures that are made from images: contact sheets and colour histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.settings import Settings
from ssl_ood.datasets.packed import open_packed
from ssl_ood.measures.colours import color_distribution, overlap
from ssl_ood.report.figures.points import legend_below
from ssl_ood.report.figures.style import PAGE, new_figure, save_figure
from ssl_ood.report.results import Results
from ssl_ood.report.writers import number

if TYPE_CHECKING:
    from ssl_ood.report.make import Files

CHANNELS = (("red", "#CC3311"), ("green", "#009E73"), ("blue", "#0072B2"))
DASHES = ("", (3, 1.5), (1, 1))  # of the sets
PEAKED = 50.0  # times the median share: from here on a linear axis shows nothing but the peak


def plot_image_grid(
    rows: Sequence[tuple[str, NDArray[np.uint8]]],
    output_prefix: Path,
    title: str = "",
    *,
    columns: Sequence[str] | None = None,
    width: float = PAGE,
    records: list[dict[str, Any]] | None = None,
) -> None:
    """A contact sheet: a label and (n, H, W, 3) uint8 images per row, drawn at equal size.

    Rows may differ in n and in image size. columns: titles over the columns. records: rows of the
    csv file; by default label, number and size of the images of each row. Grey images are (H, W, 3)
    with equal channels.
    """
    if not rows or any(not len(images) for _, images in rows):
        raise UserError("A contact sheet has a row without images: check the packed sets.")
    n_columns = max(len(images) for _, images in rows)
    letters = max(len(label) for label, _ in rows)
    label_width = 0.2 + 0.062 * letters  # inches
    cell = (width - label_width) / n_columns
    heading = 0.3 * bool(title) + 0.2 * bool(columns)
    height = cell * len(rows) + heading + 0.1
    figure, grid = new_figure(width, height)
    axes = grid[0, 0]
    figure.set_layout_engine("none")
    axes.set_position(
        (
            label_width / width,
            0.05 / height,
            1 - label_width / width - 0.002,
            cell * len(rows) / height,
        )
    )
    gap = 0.04
    for i, (label, images) in enumerate(rows):
        for j, image in enumerate(images):
            extent = (j + gap, j + 1 - gap, i + 1 - gap, i + gap)
            axes.imshow(image, extent=extent, interpolation="nearest", aspect="auto")
        axes.text(-0.1, i + 0.5, label, ha="right", va="center", fontsize=8)
    for j, name in enumerate(columns or []):
        axes.text(j + 0.5, -0.06, name, ha="center", va="bottom", fontsize=7)
    axes.set_xlim(0, n_columns)
    axes.set_ylim(len(rows), 0)
    axes.set_axis_off()
    if title:
        figure.text(0.01, 1 - 0.1 / height, title, ha="left", va="top", fontsize=8.5)
    if records is None:
        records = [
            {
                "row": label,
                "images": len(images),
                "height": images.shape[1],
                "width": images.shape[2],
            }
            for label, images in rows
        ]
    save_figure(figure, output_prefix, records)


@register(
    "figure",
    "color_histograms",
    title="Colour distributions",
    section="negatives",
    notes="Pixel values of the in-distribution sets, one panel per channel (figure 2.11).",
    needs={"images"},
    settings=Settings,
)
def color_histograms_figure(results: Results, files: Files, prefix: Path) -> None:
    """Figure 2.11: colour distributions of in-distribution sets, one panel per channel.

    Sets lie over each other rather than beside each other, since what is claimed is that they are
    alike. Sets that are all grey have one panel.
    """
    import pandas as pd
    import seaborn

    if not files.images:
        raise UserError(f"{results.spec['name']} needs --images with folders of packed sets.")
    distributions = {}
    for folder in files.images:
        packed = open_packed(folder).prove()
        title = results.title("datasets", packed.meta["dataset"])
        distributions[title] = color_distribution(packed.images)
    everything = np.stack(list(distributions.values()))
    grey = (everything == everything[:, :1]).all()
    panels = (("grey", "#404040"),) if grey else CHANNELS
    frame = pd.DataFrame(
        {"dataset": title, "channel": name, "value": range(256), "share": distribution[channel]}
        for channel, (name, _) in enumerate(panels)
        for title, distribution in distributions.items()
    ).explode(["value", "share"], ignore_index=True)
    frame = frame.astype({"value": "int64", "share": "float64"})
    figure, grid = new_figure(PAGE / 2 if grey else PAGE, 2.3, 1, len(panels), sharey=True)
    peaked = everything.max() > PEAKED * np.median(everything)
    lines = {title: DASHES[i % len(DASHES)] for i, title in enumerate(distributions)}
    for channel, (axes, (name, colour)) in enumerate(zip(grid[0], panels, strict=True)):
        tones = {title: "#000000" if i else colour for i, title in enumerate(distributions)}
        seaborn.lineplot(
            frame[frame["channel"] == name].assign(share=100 * frame["share"]),
            x="value",
            y="share",
            hue="dataset",
            style="dataset",
            palette=tones,
            dashes=lines,
            drawstyle="steps-mid",
            estimator=None,
            linewidth=0.9,
            ax=axes,
        )
        words = name
        if len(distributions) == 2:
            words += f" (overlap {number(overlap(*everything[:, channel]))})"
        axes.set_title(words, loc="left")
        axes.set_xlabel("Pixel value")
        axes.set_ylabel("Share of pixels (%)" + (", log scale" if peaked else ""))
        axes.set_xlim(-3, 258)  # peaks at the ends stay visible
        axes.set_xticks([0, 64, 128, 192, 255])
        axes.label_outer()
    if peaked:
        grid[0, 0].set_yscale("log")
        grid[0, 0].yaxis.set_major_formatter("{x:g}")
    else:
        grid[0, 0].set_ylim(bottom=0)
    if len(panels) > 1:  # the first set has the channel's colour: known by its line, in grey
        for handle in grid[0, 0].get_legend_handles_labels()[0]:
            handle.set_color("#404040")
    legend_below(figure, {}, 3, pad=0.6)
    save_figure(figure, prefix, frame.to_dict("records"))
