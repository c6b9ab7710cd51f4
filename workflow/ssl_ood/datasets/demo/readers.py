"""Readers of the demo's images, which lie in installed packages: tables, stacks, crops, glyphs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.datasets.archives import open_gzip, readable
from ssl_ood.datasets.arrays import open_npy
from ssl_ood.datasets.demo.lesions import draw
from ssl_ood.datasets.pictures import open_picture
from ssl_ood.datasets.readers import Item, Paths, Source


@register(
    "reader", "table", title="table of pixels", notes="A csv of pixel values, one image per row."
)
def table(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """A gzipped csv with one image per row: its pixels in 0..maximum, then its label."""
    path, (height, width) = paths.only, options["shape"]
    with readable(path), open_gzip(path) as file:
        rows = list(csv.reader(io.TextIOWrapper(io.BytesIO(file.read()), "ascii")))
    if not rows or any(len(row) != height * width + 1 for row in rows):
        raise UserError(f"{path} does not have {height * width + 1} columns in every row.")
    values = np.array(rows, np.float64)
    pixels = np.round(values[:, :-1] * (255 / options["maximum"])).astype(np.uint8)
    images = pixels.reshape(-1, height, width)
    labels = values[:, -1].astype(int)

    def items() -> Iterator[Item]:
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield Item(f"{path.name}/{i}", int(label), image)

    return Source(items(), [str(d) for d in range(labels.max() + 1)])


@register(
    "reader",
    "stack",
    title="stack",
    notes="A NumPy file that a package ships, of stacked grey images.",
)
def stack(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """A .npy of grey images (N, H, W) in 0..maximum; `labels` are runs [how many, label]."""
    path = paths.only
    images = open_npy(path)
    labels = [label for run, label in options["labels"] for _ in range(run)]
    if len(labels) != len(images):
        raise UserError(f"{path} holds {len(images)} images, the catalogue knows {len(labels)}.")
    pixels = np.round(np.clip(images / options["maximum"], 0, 1) * 255).astype(np.uint8)

    def items() -> Iterator[Item]:
        for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            yield Item(f"{path.name}/{i}", label, image)

    return Source(items(), options.get("classes"))


@register(
    "reader", "crops", title="crops", notes="Pieces of photographs, with drawn lesions where asked."
)
def crops(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """Random square crops of pictures: the same number of each, the label is the picture.

    Sides are log-uniform in `side` (pixels), places uniform; a crop whose grey values have a
    standard deviation below `contrast` shows nothing and is drawn again. With `area`, [left, top,
    right, bottom] as shares of a picture, all crops lie in there. With `lesions`, a list of `none`
    and kinds of `lesions.draw`, the crops in turn get the lesions of the list, and the label is 0
    for none and 1 for any. `draw` crops are made, or as many as the split counts.
    The crops of a picture depend on its name, its area and its lesions, and on nothing else.
    """
    each, rest = divmod(options.get("draw", options["count"]), len(paths))
    lesions, area = options.get("lesions"), options.get("area", (0, 0, 1, 1))

    def items() -> Iterator[Item]:
        for label, (file, path) in enumerate(paths.items()):
            picture = open_picture(path.read_bytes(), None).image
            bounds = [round(s * n) for s, n in zip(area, picture.size * 2, strict=True)]
            pixels = np.asarray(picture)
            grey = np.asarray(picture.convert("L"))
            rng = np.random.Generator(np.random.PCG64(_seed(Path(file).name, options)))
            for number in range(each + (label < rest)):
                window, name = _window(grey, bounds, options, rng)
                crop = np.ascontiguousarray(pixels[window])
                name = f"{Path(file).stem}/{number}/{name}"
                if lesions is None:
                    yield Item(name, label, crop)
                    continue
                lesion = lesions[number % len(lesions)]
                if lesion == "none":
                    yield Item(f"{name}-normal", 0, crop)
                else:
                    yield Item(f"{name}-{lesion}", 1, draw(lesion, crop, rng))

    names = [Path(file).stem for file in paths] if lesions is None else ["normal", "lesion"]
    return Source(items(), names)


def _window(
    grey: np.ndarray, bounds: list[int], options: Mapping[str, Any], rng: np.random.Generator
) -> tuple[tuple[slice, slice], str]:
    """A square inside bounds (left, top, right, bottom) of a picture, and what it is called."""
    low, high = options["side"]
    width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
    for _ in range(1000):
        side = round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        side = min(side, height, width)
        top = bounds[1] + int(rng.integers(height - side + 1))
        left = bounds[0] + int(rng.integers(width - side + 1))
        window = np.s_[top : top + side, left : left + side]
        if grey[window].std() >= options["contrast"]:
            break
    return window, f"{left},{top}+{side}"


def _seed(name: str, options: Mapping[str, Any]) -> list[int]:
    """The picture's name; where there are an area and lesions, also the text of these."""
    more = [str(options[key]) for key in ("area", "lesions") if key in options]
    return list("/".join([name, *more]).encode())


@register("reader", "glyphs", title="glyphs", notes="Characters of fonts, white on black.")
def glyphs(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """Characters of fonts, white on black, centred by their ink; the label is the character."""
    size, characters = options["pixels"], options["characters"]

    def items() -> Iterator[Item]:
        for file, path in paths.items():
            font = ImageFont.truetype(str(path), round(size * 0.85))
            for label, character in enumerate(characters):
                left, top, right, bottom = font.getbbox(character)
                image = Image.new("L", (size, size))
                place = ((size - left - right) / 2, (size - top - bottom) / 2)
                ImageDraw.Draw(image).text(place, character, fill=255, font=font)
                yield Item(f"{Path(file).stem}/{character}", label, np.asarray(image))

    return Source(items(), list(characters))
