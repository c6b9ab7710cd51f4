"""Shifting transformations: keep an image's low-level statistics, change its global semantics.

Section 4.1 of the paper in chapter 6. Each takes a batch (N, S, S, 3) uint8 and a generator, and
draws for every image anew; never the identity, since a negative that equals its positive says
nothing. They are applied at the in-distribution size, before any augmentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup, register

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Shift = Callable[[Tensor, np.random.Generator], Tensor]


def shift_of(name: str | None) -> Shift:
    """The shifting transformation of that name; None leaves the images as they are."""
    return lookup("shift", name).load() if name is not None else lambda images, rng: images


@register("shift", "rot90", title="Rotation", notes="by 90, 180 or 270 degrees")
def rot90(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotates every image by 90, 180 or 270 degrees, drawn uniformly."""
    return rotate_quarters(images, rng.integers(1, 4, len(images)))


def rotate_quarters(images: Tensor, quarters: np.ndarray) -> Tensor:
    """Rotates image i counter-clockwise by quarters[i] * 90 degrees; images (N, S, S, 3)."""
    import numpy as np
    import torch

    from ssl_ood.views.transfer import to_device

    rotated = images.clone()
    for turn in (1, 2, 3):
        rows = to_device(np.flatnonzero(quarters % 4 == turn), images.device)
        rotated[rows] = torch.rot90(images[rows], turn, dims=(1, 2))
    return rotated


@register("shift", "rot360", title="Rotation 360", notes="by any angle; corners are black")
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


def permute_patches(images: Tensor, rng: np.random.Generator, parts: int) -> Tensor:
    """Permutes the parts x parts equal patches of every image."""
    import torch

    from ssl_ood.views.transfer import to_device

    count, size = images.shape[:2]
    if size % parts:
        raise UserError(
            f"Images of {size} pixels cannot be cut into {parts} x {parts} equal patches: "
            f"choose a size that {parts} divides."
        )
    side = size // parts
    patches = images.view(count, parts, side, parts, side, 3).transpose(2, 3)
    patches = patches.reshape(count, parts * parts, side, side, 3)
    order = _permutations(count, parts * parts, rng)
    rows = torch.arange(count, device=images.device)[:, None]
    patches = patches[rows, to_device(order, images.device)]
    patches = patches.view(count, parts, parts, side, side, 3).transpose(2, 3)
    return patches.reshape(images.shape)


@register("shift", "perm4", title="Permutation 4", notes="of the 2 x 2 patches")
def perm4(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Permutes the 2 x 2 patches."""
    return permute_patches(images, rng, parts=2)


@register("shift", "perm16", title="Permutation 16", notes="of the 4 x 4 patches")
def perm16(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Permutes the 4 x 4 patches."""
    return permute_patches(images, rng, parts=4)


@register("shift", "pixel_shuffle", title="Pixel shuffle", notes="all pixels, channels together")
def pixel_shuffle(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Permutes all pixels of every image, the three channels of a pixel together."""
    import numpy as np

    from ssl_ood.views.transfer import to_device

    count, size = images.shape[:2]
    keys = to_device(rng.random((count, size * size), dtype=np.float32), images.device)
    order = keys.argsort(dim=1)
    flat = images.view(count, size * size, 3)
    return flat.gather(1, order[:, :, None].expand_as(flat)).view(images.shape)


def _permutations(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """(count, length) permutations, uniform over all but the identity."""
    import numpy as np

    order = rng.random((count, length)).argsort(axis=1)
    identity = np.arange(length)
    while len(same := np.flatnonzero((order == identity).all(axis=1))):
        order[same] = rng.random((len(same), length)).argsort(axis=1)
    return order
