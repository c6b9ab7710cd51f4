"""What CCD does to images beside usual views: halves that change places, patches, holes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssl_ood.methods.patches.loss import NEIGHBOURS

KINDS = 4  # strong augmentations: neither halves, left and right, upper and lower, both
PLACES = len(NEIGHBOURS)


def cut_perm(images: Tensor, kinds: Tensor) -> Tensor:
    """Strong augmentation: (N, H, W, C) images -> the same, halves changed by `kinds`.

    kinds: (N,) int64 in 0..3, on the device of the images: the left and the right half change
    places in kinds 1 and 3, the upper and the lower one in kinds 2 and 3. Of an odd side the first
    half is the smaller one.
    """
    kinds = kinds.view(-1, 1, 1, 1)
    height, width = images.shape[1:3]
    images = torch.where(kinds // 2 == 1, images.roll(-(height // 2), 1), images)
    return torch.where(kinds % 2 == 1, images.roll(-(width // 2), 2), images)


def draw_pairs(
    count: int, side: int, patch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two patches of each image: corners (N, 2, 2) int64, top and left, and places (N,) int64.

    The second lies at one of eight places around the first, numbered by rows, in either direction
    of 3/4 of a patch to a whole one away, or not away at all. Both lie within the image, of which
    a patch is at most half a side.
    """
    places = rng.integers(0, PLACES, count)
    around = np.array(NEIGHBOURS)[places]
    direction = np.stack([around // 3 - 1, around % 3 - 1], axis=1)
    reach = 3 * patch // 4 + rng.integers(0, max(patch // 4, 1), (count, 2))
    away = direction * reach
    low, high = np.maximum(0, -away), side - patch - np.maximum(0, away)
    first = low + np.floor(rng.random((count, 2)) * (high - low + 1)).astype(np.int64)
    return np.stack([first, first + away], axis=1), places


def draw_holes(count: int, side: int, largest: int, rng: np.random.Generator) -> np.ndarray:
    """Top, left, bottom and right (N, 4) int64 of a square in each view, cut off at its edges.

    Its centre is any pixel, its side from 0 to `largest` pixels, an even number.
    """
    half = rng.integers(1, largest + 1, (count, 1)) // 2
    centre = rng.integers(0, side, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=1).clip(0, side)


def without(views: Tensor, holes: Tensor) -> Tensor:
    """(N, C, S, S) views, 0 (the mean of all images) within `holes` (N, 4)."""
    inside = torch.arange(views.shape[-1], device=views.device)
    top, left, bottom, right = (side[:, None] for side in holes.unbind(1))
    rows, columns = (inside >= top) & (inside < bottom), (inside >= left) & (inside < right)
    hole = (rows[:, :, None] & columns[:, None])[:, None]
    return views.masked_fill(hole, 0.0)
