"""Crop, flip and resize in one step: two batched matrix products with the weights that Pillow's
antialiased filters would use, so that a view equals Pillow's up to its 8-bit rounding.

The results are in the layout (image, row, channel, column), in which a product with one matrix an
image, from either side, works on the three channels at once.
"""

from __future__ import annotations

import torch
from torch import Tensor


def crop_and_resize(
    images: Tensor, boxes: Tensor, size: int, interpolation: str = "bicubic"
) -> Tensor:
    """Crops, flips and resizes by two batched products; clamps after each pass, as Pillow does.

    images: (N, H, W, 3) uint8; boxes: (V * N, 5) top, left, height, width in pixels and whether to
    flip; view v of image i in row v * N + i; interpolation: a name of KERNELS.
    Returns (V * N, size, 3, size) in 0..1.
    """
    count, height, width, _ = images.shape
    top, left, box_h, box_w, flipped = boxes.unbind(1)
    # The 255 of uint8 goes into the first weights: one pass over the pixels less.
    across = (
        _resize_weights(left, box_w, width, size, flipped, interpolation).div_(255).transpose(1, 2)
    )
    down = _resize_weights(top, box_h, height, size, None, interpolation)
    # In this order in memory, whatever that of the images: a product must not depend on it.
    pixels = images.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    pixels = pixels.view(count, height * 3, width)
    narrow = pixels.new_empty(len(boxes), height * 3, size)
    for first in range(0, len(boxes), count):
        view = slice(first, first + count)
        torch.bmm(pixels, across[view], out=narrow[view])
    narrow.clamp_(0, 1)
    out = torch.bmm(down, narrow.view(-1, height, 3 * size)).clamp_(0, 1)
    return out.view(-1, size, 3, size)


def _resize_weights(
    start: Tensor,
    length: Tensor,
    full: int,
    size: int,
    flipped: Tensor | None,
    interpolation: str,
) -> Tensor:
    """Weights (N, size, full) that cut [start, start + length) and resize it to `size` pixels."""
    target = torch.arange(size, device=start.device, dtype=torch.float32)
    target = target.expand(len(start), size)
    if flipped is not None:
        target = torch.where(flipped[:, None] > 0, size - 1 - target, target)
    scale = (length / size)[:, None]
    centre = (target + 0.5) * scale + start[:, None]
    source = torch.arange(full, device=start.device, dtype=torch.float32)
    stretch = scale.clamp(min=1.0)[:, :, None]  # antialiasing: a wider kernel when shrinking
    kernel = KERNELS[interpolation]
    # In place from here on: new memory for every step costs more than the arithmetic.
    weights = kernel((source[None, None, :] + 0.5 - centre[:, :, None]).div_(stretch))
    inside = (source >= start[:, None]) & (source < (start + length)[:, None])
    weights.mul_(inside[:, None, :])
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -0.5, as in Pillow: to either side of 0,

    (1.5 x - 2.5) x x + 1 below 1, and ((-0.5 x + 2.5) x - 4) x + 2 below 2.
    """
    x = x.abs()
    near = (1.5 * x).sub_(2.5).mul_(x).mul_(x).add_(1)
    far = (-0.5 * x).add_(2.5).mul_(x).sub_(4).mul_(x).add_(2)
    return torch.where(x < 1, near, far.masked_fill_(x >= 2, 0))


def _bilinear(x: Tensor) -> Tensor:
    """The triangle of linear interpolation."""
    return (1 - x.abs()).clamp_(min=0)


KERNELS = {"bicubic": _bicubic, "bilinear": _bilinear}


def channels_second(pixels: Tensor) -> Tensor:
    """(N, S, 3, S) seen as (N, 3, S, S) or the other way round; the memory stays as it is."""
    return pixels.transpose(1, 2)
