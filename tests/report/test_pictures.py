"""Pictures of negatives and of views show what a training is shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from support.training import data, pack, tiny  # noqa: F401

from ssl_ood.report.figures.pictures import draw_views, negatives_of
from ssl_ood.views.shifts import permute_patches


def config_of(tiny, *shifts, **views):  # noqa: F811
    sources = ("photos", "shapes")
    pairs = [
        {"source": source, "split": "train", "shift": shift}
        for source, shift in zip(sources, shifts, strict=False)
    ]
    return tiny(negatives=pairs, views=views).to_dict()


def orders_of(images, upright):
    """By which of the 24 orders of their 2 x 2 patches images differ from the upright ones."""
    every = np.array(list(np.ndindex(4, 4, 4, 4)))
    every = every[[len(set(order)) == 4 for order in every.tolist()]]
    found = []
    for image, plain in zip(images, upright, strict=True):
        tiles = torch.from_numpy(plain)[None].expand(len(every), *plain.shape)
        moved = permute_patches(tiles, every).numpy()
        found.append(
            [tuple(o) for o, m in zip(every.tolist(), moved, strict=True) if (m == image).all()]
        )
    return found


@pytest.mark.parametrize("place", ["image", "view"])
def test_the_negatives_of_a_picture_are_shifted_where_a_training_shifts_them(tiny, data, place):  # noqa: F811
    """At the size of a global view where every view is shifted; the same images in both."""
    views = {"shift_place": place, "global_size": 16}
    plain = negatives_of(config_of(tiny, None, None, **views), data, 8)
    shown = negatives_of(config_of(tiny, "perm4", None, **views), data, 8)
    assert shown.shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(shown[4:], plain[4:])  # the pair without a shift
    orders = orders_of(shown[:4], plain[:4])
    assert all(orders)
    assert len({tuple(o) for o in orders}) > 1
    larger = negatives_of(config_of(tiny, "perm4", None, **views | {"global_size": 24}), data, 8)
    assert larger.shape[1] == {"image": 16, "view": 24}[place]


@pytest.mark.parametrize(
    ("views", "rows"),
    [
        ({"shift_place": "image"},
         ["Image", "Global view 1", "Global view 2", "Local view 1", "Local view 2", "Negative",
          "Negative, global view", "Negative, local view"]),
        ({"shift_place": "view", "negative": [1, 0]},
         ["Image", "Global view 1", "Global view 2", "Local view 1", "Local view 2", "Its source",
          "Negative, global view"]),
    ],
)  # fmt: skip
def test_the_figure_of_views_shows_the_negative_s_own_views(tiny, data, tmp_path, views, rows):  # noqa: F811
    config = config_of(tiny, "rot90", "perm4", **views)
    draw_views({"configs": [config]}, data, tmp_path / "figure")
    assert pd.read_csv(tmp_path / "figure.csv")["row"].tolist() == rows
