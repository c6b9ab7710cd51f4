"""Pictures of what a training sees: the negatives of the strategies and the augmented views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ssl_ood.common.files import atomic_path, write_json
from ssl_ood.common.streams import stream
from ssl_ood.datasets.names import CROP, PackedSet
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.datasets.splits import parts_of
from ssl_ood.methods.base import method_of, read_run
from ssl_ood.methods.settings import RunSettings
from ssl_ood.views.images import Images
from ssl_ood.views.render import draw, render
from ssl_ood.views.shifts import shift_of
from ssl_ood.views.spec import ViewSpec

COLUMNS = 10
SHEET = 8  # rows and columns of a contact sheet
TILE = 64  # pixels at least that an image of it is drawn at
CPU = torch.device("cpu")


def write_negative_set(config: dict, data: Path, against: list[str], output: Path) -> None:
    """Writes manifest.json and contact_sheet.png of the negatives of a run config.

    against: "dataset/split" of the in-distribution test and OOD sets. The manifest says how many
    auxiliary images are the same, byte by byte, as an image of these sets (an error: such images
    would teach the model what it is tested on) and how many look nearly the same.
    """
    from ssl_ood.common.errors import UserError
    from ssl_ood.datasets.duplicates import find_duplicates

    tested = {name: _packed(config, data, *parts_of(name)) for name in against}
    pairs, problems = [], []
    for pair in config["negatives"]:
        packed = _packed(config, data, pair["source"], pair["split"])
        leaks = {}
        if pair["source"] != config["in_distribution"]:
            leaks = {name: find_duplicates(packed, test) for name, test in tested.items()}
        problems += [
            f"{leak['identical']} of {pair['source']} in {name}"
            for name, leak in leaks.items()
            if leak["identical"]
        ]
        pairs.append(
            pair
            | {
                "images": len(packed.images),
                "images_sha256": packed.meta["images_sha256"],
                "also_in_test_sets": leaks,
            }
        )
    if problems:
        raise UserError(
            f"The negatives {config['strategy']} hold images that models are tested on "
            f"({'; '.join(problems)}): take them out of the auxiliary dataset."
        )
    _contact_sheet(negatives_of(config, data, SHEET * SHEET), output / "contact_sheet.png")
    write_json(
        output / "manifest.json",
        {
            "in_distribution": config["in_distribution"],
            "strategy": config["strategy"],
            "size": config["size"],
            "negatives": pairs,
        },
    )


def _packed(config: dict, data: Path, dataset: str, split: str) -> Packed:
    """A packed set of a run config."""
    fit = config.get("fit", CROP)
    return open_set(data, PackedSet(dataset, split, config["size"], fit))


def _contact_sheet(tiles: np.ndarray, path: Path) -> None:
    """SHEET rows of SHEET tiles, (SHEET^2, S, S, 3) uint8, as a png with a gap around each."""
    from PIL import Image

    tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    side = tiles.shape[1]
    sheet = tiles.reshape(SHEET, SHEET, side, side, 3).swapaxes(1, 2)
    sheet = sheet.reshape(SHEET * side, SHEET * side, 3)
    larger = -(-TILE // side)
    with atomic_path(path) as partial:
        picture = Image.fromarray(sheet.repeat(larger, axis=0).repeat(larger, axis=1))
        picture.save(partial, format="png")


def negatives_of(config: dict, data: Path, count: int) -> np.ndarray:
    """(count, S, S, 3) uint8 negatives of a run config, whole and not augmented; the run's own
    images where it has no negatives.

    Where every view is shifted by itself they are shown, shifted, at the size of a global view.
    """
    settings = read_run(config)
    if settings.options.shift_place == "image":
        return np.concatenate([images for images, _ in _drawn_from(config, data, count)])
    whole = replace(
        settings.options.shown, flip_p=0.0, jitter_p=0.0, grey_p=0.0, blur_p=0.0, solarize_p=0.0
    )
    parts = enumerate(_drawn_from(config, data, count))
    return np.concatenate([_rendered(part, whole, str(i), settings) for i, part in parts])


Part = tuple[np.ndarray, str | None]  # (n, S, S, 3) uint8 images, and the shift of their views


def _drawn_from(config: dict, data: Path, count: int) -> list[Part]:
    """Images of each pair of a run config, an equal part of `count`; the run's own where it has no
    negatives. They are shifted here where that is not left to their views."""
    options = read_run(config).options
    pairs = config["negatives"] or [
        {"source": config["in_distribution"], "split": config["train_split"], "shift": None}
    ]
    parts = []
    for i, pair in enumerate(pairs):
        packed = _packed(config, data, pair["source"], pair["split"])
        share = count // len(pairs) + (i < count % len(pairs))
        rng = stream(0, "picture", pair["source"])  # the same images for every shift
        rows = rng.choice(len(packed.images), share, replace=share > len(packed.images))
        images, shift = np.array(packed.images[np.sort(rows)]), pair["shift"]
        if options.shift_place == "image":
            shifted = shift_of(shift, options.shift_identity)
            images = shifted(torch.from_numpy(images), stream(0, "picture", i)).numpy()
            shift = None
        parts.append((images, shift))
    return parts


def draw_negatives(spec: dict, data: Path, output: Path) -> None:
    """Thesis figure 6.2: one row per strategy, the same source images throughout."""
    from ssl_ood.report.figures.images import plot_image_grid

    configs = spec["configs"]
    own = configs[0] | {"negatives": []}
    rows = [("In-distribution", negatives_of(own, data, COLUMNS))]
    titles = spec["titles"].get("strategies", {})
    for config in configs:
        if config["negatives"]:
            name = config["strategy"]
            rows.append((titles.get(name, name), negatives_of(config, data, COLUMNS)))
    plot_image_grid(rows, output)


def draw_views(spec: dict, data: Path, output: Path) -> None:
    """figure_views: images, their positive views, negatives and theirs. figure_views_rsna (thesis
    figure 5.1): images and views of the one kind that contrastive learning has."""
    from ssl_ood.report.figures.images import plot_image_grid

    config = spec["configs"][0]
    settings = read_run(config)
    shown = {"images": _drawn_from(config | {"negatives": []}, data, COLUMNS)}
    rows = [("Image", shown["images"][0][0])]
    for label, spec_of_view, name, source in method_of(settings).example_views(settings):
        if source not in shown:
            shown[source] = parts = _drawn_from(config, data, COLUMNS)
            first = "Negative" if settings.options.shift_place == "image" else "Its source"
            rows.append((first, np.concatenate([images for images, _ in parts])))
        views = [
            _rendered(part, spec_of_view, f"{name}{i or ''}", settings)
            for i, part in enumerate(shown[source])
        ]
        rows.append((label, np.concatenate(views)))
    plot_image_grid(rows, output)


def _rendered(part: Part, spec: ViewSpec, name: str, settings: RunSettings) -> np.ndarray:
    """Views of the images with their shift, brought back to uint8; name: of their draws."""
    images, shift = part
    count, height, width, _ = images.shape
    batch = Images(images, CPU).take(np.arange(count))
    spec = replace(spec, shifting=shift, may_stay=settings.options.shift_identity)
    views = render(batch, draw(spec, count, height, width, stream(0, "picture", name)), spec)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    pixels = views * std + mean
    return pixels.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
