"""Shifting transformations of views: drawn on the host, for every view by itself, made in batches.

What `shifts` declares for whole images, as a part of the augmentation: at the size of the view,
after the crop or after the colours. The draws are an array with a row for each view, like all that
is drawn for a view, so that they depend neither on the device nor on which rows are worked on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.views.shifts import permutations, permute_patches, rotate_quarters
from ssl_ood.views.transfer import to_device
from ssl_ood.views.warps import affine

PLACES = ("crop", "colours")


@dataclass(frozen=True)
class Moves:
    """How views are shifted.

    draw: (number of views N, generator, whether a permutation may be the identity) -> (N, k) array.
    make: (pixels (N, 3, S, S) of any strides, the drawn rows) -> shifted pixels, a new tensor.
    """

    draw: Callable[[int, np.random.Generator, bool], np.ndarray]
    make: Callable[[Tensor, np.ndarray], Tensor]


def moves_of(name: str) -> Moves:
    """How views are shifted by the shift of that name."""
    entry = lookup("shift", name)
    made = entry.more.get("of_views")
    if made is None:
        return Moves(_draw_keys, partial(_one_by_one, entry.load()))
    if isinstance(made, str):
        module, _, attribute = made.partition(":")
        made = getattr(import_module(module), attribute)
    return made


def place_of(name: str | None) -> str | None:
    """After which step views are shifted, of `PLACES`; None without a shift.

    Raises UserError where the declaration of the shift says something else.
    """
    if name is None:
        return None
    place = lookup("shift", name).more.get("after", PLACES[0])
    if place not in PLACES:
        raise UserError(
            f"The shift {name} is declared with after={place!r}: write {' or '.join(PLACES)}."
        )
    return place


# ---- rotations, after the crop


def _draw_quarters(count: int, rng: np.random.Generator, may_stay: bool) -> np.ndarray:
    """1, 2 or 3 quarter turns, (count, 1)."""
    return rng.integers(1, 4, (count, 1))


def _turn(pixels: Tensor, drawn: np.ndarray) -> Tensor:
    return rotate_quarters(pixels, drawn[:, 0], (2, 3))


def _draw_angles(count: int, rng: np.random.Generator, may_stay: bool) -> np.ndarray:
    """Degrees, (count, 1)."""
    return rng.uniform(0, 360, (count, 1))


def _rotate(pixels: Tensor, drawn: np.ndarray) -> Tensor:
    """By nearest neighbour, as torchvision and Pillow do where nothing else is asked for."""
    angle = to_device(drawn[:, 0].astype(np.float32), pixels.device)
    still = torch.zeros(len(pixels), 2, device=pixels.device)
    return affine(pixels, angle, still, torch.ones_like(angle))


# ---- permutations, after the colours


def _draw_orders(
    count: int, rng: np.random.Generator, may_stay: bool, patches: int = 4
) -> np.ndarray:
    """Orders of the patches, (count, patches)."""
    return permutations(count, patches, rng, may_stay)


def _move_patches(pixels: Tensor, drawn: np.ndarray) -> Tensor:
    return permute_patches(pixels.permute(0, 2, 3, 1), drawn).permute(0, 3, 1, 2)


def _draw_keys(count: int, rng: np.random.Generator, may_stay: bool) -> np.ndarray:
    """Keys of a generator for each view, (count, 1): what a view needs many numbers for is drawn
    when it is made, and only for the rows that are worked on."""
    return rng.integers(0, 2**63, (count, 1))


def _generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=int(key)))


def _move_pixels(pixels: Tensor, drawn: np.ndarray) -> Tensor:
    count, channels, height, width = pixels.shape
    ranks = np.empty((count, height * width), np.int32)
    low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    for row, key in zip(ranks, drawn[:, 0], strict=True):
        row[:] = _generator(key).integers(low, high, len(row), np.int32, endpoint=True)
    # Stable, so that the order of equal ranks (one pair in two views of 256 pixels) is that of
    # every device.
    order = to_device(ranks, pixels.device).argsort(dim=1, stable=True)
    flat = pixels.reshape(count, channels, height * width)
    return flat.gather(2, order[:, None].expand_as(flat)).view(pixels.shape)


# ---- what is declared as a function of whole images only


def _one_by_one(
    shift: Callable[[Tensor, np.random.Generator], Tensor], pixels: Tensor, drawn: np.ndarray
) -> Tensor:
    """Every view as an image (1, S, S, 3) uint8, with a generator of its own."""
    images = pixels.permute(0, 2, 3, 1).mul(255).round_().to(torch.uint8)
    moved = [
        shift(image.contiguous()[None], _generator(key))
        for image, key in zip(images, drawn[:, 0], strict=True)
    ]
    if not moved:
        return pixels.clone()
    return torch.cat(moved).permute(0, 3, 1, 2).to(pixels.dtype).div_(255)


QUARTERS = Moves(_draw_quarters, _turn)
ANGLES = Moves(_draw_angles, _rotate)
PATCHES_4 = Moves(partial(_draw_orders, patches=4), _move_patches)
PATCHES_16 = Moves(partial(_draw_orders, patches=16), _move_patches)
PIXELS = Moves(_draw_keys, _move_pixels)
