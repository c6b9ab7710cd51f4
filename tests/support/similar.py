"""A slow multi-scale structural similarity, for tests to compare with."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate2d


def slow_ms_ssim(one: np.ndarray, other: np.ndarray, window: int, scales, extent: float) -> float:
    """One colour of one image, by the formulas: windows moved by SciPy, halves by reshaping."""
    axis = np.exp(-((np.arange(window) - window // 2) ** 2) / (2 * 1.5**2))
    kernel = np.outer(axis, axis) / axis.sum() ** 2

    def blurred(image):
        return correlate2d(image, kernel, mode="valid")

    product = 1.0
    for i, exponent in enumerate(scales):
        if i:
            side = len(one) // 2
            one, other = (x.reshape(side, 2, side, 2).mean((1, 3)) for x in (one, other))
        mean, mean_o = blurred(one), blurred(other)
        var, var_o = blurred(one**2) - mean**2, blurred(other**2) - mean_o**2
        covariance = blurred(one * other) - mean * mean_o
        c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
        part = (2 * covariance + c2) / (var + var_o + c2)
        if i == len(scales) - 1:
            part = part * (2 * mean * mean_o + c1) / (mean**2 + mean_o**2 + c1)
        product *= max(part.mean(), 1e-6) ** exponent  # of none below 0 a power is taken
    return product
