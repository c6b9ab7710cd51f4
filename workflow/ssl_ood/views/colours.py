"""Colour operations, blur and solarisation on batches, every image with a factor of its own.

All take pixels (N, 3, S, S) in 0..1, contiguous or not, and give new ones; they are torchvision's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SOLARIZE_THRESHOLD = 128 / 255
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's convert("L")


def _blend(views: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    return (views * factor).add_(other * (1 - factor)).clamp_(0, 1)


def _grey(views: Tensor) -> Tensor:
    red, green, blue = views.split(1, dim=1)
    r, g, b = GREY_WEIGHTS
    return (red * r).add_(green, alpha=g).add_(blue, alpha=b)


def grey_image(views: Tensor) -> Tensor:
    return _grey(views).expand_as(views)


def brightness(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with black; views (N, 3, S, S) in 0..1, factor (N,)."""
    return (views * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with the image's mean grey value."""
    return _blend(views, _grey(views).mean(dim=(2, 3), keepdim=True), factor)


def saturation(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with the grey image."""
    return _blend(views, _grey(views), factor)


def hue(views: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue of HSV by `shift` turns, (N,) in -0.5..0.5."""
    red, green, blue = views.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # A grey pixel has differences of 0, so that any divisor does.
    inverse = chroma.clamp(min=1e-12).reciprocal_()
    sextant = torch.where(
        red == value,
        (green - blue).mul_(inverse),
        torch.where(
            green == value, (blue - red).mul_(inverse).add_(2), (red - green).mul_(inverse).add_(4)
        ),
    )
    sextant = sextant.add_(6 * shift.view(-1, 1, 1)).remainder_(6)
    # A channel of HSV's inverse: value - chroma * clamp(2 - d, 0, 1), d the distance of the hue
    # from the channel's opposite colour on the circle of six sextants.
    out = torch.empty_like(views)
    for channel, opposite in enumerate((3, 5, 1)):
        distance = (sextant - opposite).abs_()
        distance = torch.minimum(distance, 6 - distance, out=distance)
        ramp = distance.neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, ramp, value=-1, out=out[:, channel])
    return out


def blur_radius(largest: float) -> int:
    """Pixels that the blur's kernel reaches to either side, for sigmas up to `largest` pixels."""
    return math.ceil(3 * largest)


def gaussian_blur(views: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Separable Gaussian with `sigma` (N,) pixels of its own for every image, reflected borders.

    The kernel ends `radius` pixels from its middle, or where a smaller image does.
    As products with one matrix per image from either side: several times as fast as a convolution
    with as many groups as there are images.
    """
    count, channels, height, width = views.shape
    radius = min(radius, height - 1, width - 1)
    offset = torch.arange(-radius, radius + 1, device=views.device, dtype=views.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    rows = views.transpose(1, 2).reshape(count, height * channels, width)
    rows = torch.bmm(rows, _blur_matrix(kernel, width).transpose(1, 2))
    rows = torch.bmm(_blur_matrix(kernel, height), rows.view(count, height, channels * width))
    return rows.view(count, height, channels, width).transpose(1, 2)


def _blur_matrix(kernel: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that convolve `size` pixels, reflected at both ends, with kernels
    (N, taps)."""
    count, taps = kernel.shape
    pixel = torch.arange(size, device=kernel.device)
    source = pixel[:, None] + torch.arange(taps, device=kernel.device)[:, None, None] - taps // 2
    last = size - 1
    source = last - (last - source.abs()).abs()  # reflected without repeating the border
    takes = (source == pixel).to(kernel.dtype)  # (taps, size, size): which pixel a tap reads
    return (kernel @ takes.view(taps, -1)).view(count, size, size)


def solarize(views: Tensor) -> Tensor:
    """Inverts the pixels at or above the threshold of 128 of 255."""
    return torch.where(views >= SOLARIZE_THRESHOLD, 1 - views, views)
