"""Filling a hole: equation 4.1."""

from __future__ import annotations

from torch import Tensor


def inpainting_loss(images: Tensor, filled: Tensor, hole: Tensor) -> Tensor:
    """|M (x - F((1 - M) x))|^2, a mean over the dropped values of all images.

    images: x, filled: F((1 - M) x), (N, C, S, S); hole: M, (N, 1, S, S), 1 where pixels were
    dropped, at least one. Returns a scalar >= 0.
    """
    wrong = (hole * (images - filled.float())) ** 2
    return wrong.sum() / (hole.sum() * images.shape[1])
