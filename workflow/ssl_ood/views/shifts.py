"""Shifting transformations: keep an image's low-level statistics, change its global semantics.

Section 4.1 of the paper in chapter 6. Each is declared as a function that takes a batch
(N, S, S, 3) uint8 and a generator, and draws for every image again. What the declaration adds is
for `views.shift_place`, view, where every view of an image is shifted by itself:

- after: "crop", before the colours are changed (where nothing is said), or "colours", last;
- of_views: how the views of a batch are shifted together (`moves.Moves`); without it the function
  is called view by view;
- parts: the number of equal parts into which a side is cut, which has to divide it;
- permutes: the function takes `may_stay`, whether a permutation may be the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup, register

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Shift = Callable[[Tensor, np.random.Generator], Tensor]


def shift_of(name: str | None, may_stay: bool = False) -> Shift:
    """The shifting transformation of that name, of whole images; None leaves them as they are.

    may_stay: whether a drawn permutation may be the identity; a rotation never is.
    """
    if name is None:
        return lambda images, rng: images
    entry = lookup("shift", name)
    shift = entry.load()
    return partial(shift, may_stay=True) if may_stay and entry.more.get("permutes") else shift


def parts_of(name: str) -> int:
    """The number of parts that a shift cuts a side into; 1 where it cuts none."""
    return lookup("shift", name).more.get("parts", 1)


@register(
    "shift",
    "rot90",
    title="Rotation",
    notes="by 90, 180 or 270 degrees",
    after="crop",
    of_views="ssl_ood.views.moves:QUARTERS",
)
def rot90(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotates every image by 90, 180 or 270 degrees, drawn uniformly."""
    return rotate_quarters(images, rng.integers(1, 4, len(images)))


def rotate_quarters(
    images: Tensor, quarters: np.ndarray, sides: tuple[int, int] = (1, 2)
) -> Tensor:
    """Rotates image i counter-clockwise by quarters[i] * 90 degrees; images (N, S, S, 3), or with
    rows and columns on the axes `sides`."""
    import numpy as np
    import torch

    from ssl_ood.views.transfer import to_device

    rotated = images.clone()
    for turn in (1, 2, 3):
        rows = to_device(np.flatnonzero(quarters % 4 == turn), images.device)
        rotated[rows] = torch.rot90(images[rows], turn, dims=sides)
    return rotated


@register(
    "shift",
    "rot360",
    title="Rotation 360",
    notes="by any angle; corners are black",
    after="crop",
    of_views="ssl_ood.views.moves:ANGLES",
)
def rot360(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotates every image about its centre by an angle in (0, 360) degrees.

    Bilinear; the corners that come from outside the image are black, as torchvision leaves them.
    """
    import numpy as np
    import torch
    import torch.nn.functional as F

    from ssl_ood.views.transfer import to_device

    angle = to_device(rng.uniform(0, 2 * np.pi, len(images)).astype(np.float32), images.device)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(cos)
    theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, mode="bilinear", align_corners=False)
    return pixels.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@register(
    "shift",
    "perm4",
    title="Permutation 4",
    notes="of the 2 x 2 patches",
    after="colours",
    of_views="ssl_ood.views.moves:PATCHES_4",
    parts=2,
    permutes=True,
)
def perm4(images: Tensor, rng: np.random.Generator, may_stay: bool = False) -> Tensor:
    """Permutes the 2 x 2 patches."""
    return permute_patches(images, permutations(len(images), 4, rng, may_stay))


@register(
    "shift",
    "perm16",
    title="Permutation 16",
    notes="of the 4 x 4 patches",
    after="colours",
    of_views="ssl_ood.views.moves:PATCHES_16",
    parts=4,
    permutes=True,
)
def perm16(images: Tensor, rng: np.random.Generator, may_stay: bool = False) -> Tensor:
    """Permutes the 4 x 4 patches."""
    return permute_patches(images, permutations(len(images), 16, rng, may_stay))


def permute_patches(images: Tensor, order: np.ndarray) -> Tensor:
    """Puts patch order[i, k] of image i, of equal square ones counted by rows, to place k.

    images: (N, S, S, C); order: (N, P * P) integers. Raises UserError where P does not divide S.
    """
    import torch

    from ssl_ood.views.transfer import to_device

    count, size, _, channels = images.shape
    parts = round(order.shape[1] ** 0.5)
    if size % parts:
        raise UserError(
            f"Images of {size} pixels cannot be cut into {parts} x {parts} equal patches: "
            f"choose a size that {parts} divides."
        )
    side = size // parts
    patches = images.reshape(count, parts, side, parts, side, channels).transpose(2, 3)
    patches = patches.reshape(count, parts * parts, side, side, channels)
    rows = torch.arange(count, device=images.device)[:, None]
    patches = patches[rows, to_device(order, images.device)]
    patches = patches.view(count, parts, parts, side, side, channels).transpose(2, 3)
    return patches.reshape(images.shape)


@register(
    "shift",
    "pixel_shuffle",
    title="Pixel shuffle",
    notes="all pixels, channels together",
    after="colours",
    of_views="ssl_ood.views.moves:PIXELS",
)
def pixel_shuffle(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Permutes all pixels of every image, the three channels of a pixel together."""
    import numpy as np

    from ssl_ood.views.transfer import to_device

    count, size = images.shape[:2]
    keys = to_device(rng.random((count, size * size), dtype=np.float32), images.device)
    order = keys.argsort(dim=1)
    flat = images.view(count, size * size, 3)
    return flat.gather(1, order[:, :, None].expand_as(flat)).view(images.shape)


def permutations(
    count: int, length: int, rng: np.random.Generator, may_stay: bool = False
) -> np.ndarray:
    """(count, length) permutations, uniform over all but the identity, or with it."""
    import numpy as np

    order = rng.random((count, length)).argsort(axis=1)
    identity = np.arange(length)
    while not may_stay and len(same := np.flatnonzero((order == identity).all(axis=1))):
        order[same] = rng.random((len(same), length)).argsort(axis=1)
    return order
