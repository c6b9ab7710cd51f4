"""Multi-scale structural similarity (Wang et al., 2003): how alike two images look."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMA = 1.5  # of the Gaussian window, pixels
K1, K2 = 0.01, 0.03
SMALLEST = 1e-6  # in place of a similarity at or below 0, whose power has no finite gradient


def ms_ssim(
    one: Tensor, other: Tensor, window: int, scales: Sequence[float], extent: float
) -> Tensor:
    """MS-SSIM (N,) of images (N, C, S, S), a mean over colours; 1 where they are equal, at least 0.

    window: side of the Gaussian window in pixels, which is moved within the image; scales:
    exponents, of the whole size first and then of half the one before; extent: largest less
    smallest value that an image may have. S is divisible by 2 as often as there are further scales.
    """
    total = one.new_ones(one.shape[:2])
    for scale, exponent in enumerate(scales):
        if scale:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        whole, structure = ssim(one, other, window, extent)
        part = whole if scale == len(scales) - 1 else structure
        total = total * part.clamp_min(SMALLEST) ** exponent
    return total.mean(1)


def ssim(one: Tensor, other: Tensor, window: int, extent: float) -> tuple[Tensor, Tensor]:
    """SSIM and its part without luminance, each (N, C), means over places."""
    c1, c2 = (K1 * extent) ** 2, (K2 * extent) ** 2
    pairs = torch.cat([one, other, one * one, other * other, one * other])
    mean, mean_o, square, square_o, product = _blurred(pairs, window).chunk(5)
    variances = square - mean**2 + square_o - mean_o**2
    structure = (2 * (product - mean * mean_o) + c2) / (variances + c2)
    luminance = (2 * mean * mean_o + c1) / (mean**2 + mean_o**2 + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def _blurred(images: Tensor, window: int) -> Tensor:
    """Gaussian means around every place whose window is within the image."""
    places = torch.arange(window, device=images.device, dtype=images.dtype) - window // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, 1, window)
    channels = images.shape[1]
    rows = F.conv2d(images, weights, groups=channels)
    return F.conv2d(rows, weights.transpose(2, 3), groups=channels)
