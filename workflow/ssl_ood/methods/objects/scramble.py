"""Images whose tiles have changed places, with seams that do not give them away (figure 2.7)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssl_ood.views.shifts import permute_patches


def scrambled(views: Tensor, order: np.ndarray, band: int) -> Tensor:
    """Tile order[i, k] of view i, of T x T counted by rows, at place k; seams blended.

    views: (N, C, S, S); order: (N, T^2), the identity for views that stay as they are; band: pixels
    on either side of a seam.
    """
    moved = permute_patches(views.permute(0, 2, 3, 1), order).permute(0, 3, 1, 2)
    return blended(moved, round(order.shape[1] ** 0.5), band)


def blended(views: Tensor, tiles: int, band: int) -> Tensor:
    """Across each seam of T x T tiles, `band` pixels on either side of it become the straight line
    between the two pixels beside them; first along rows, then along columns."""
    if band == 0:
        return views
    views, side = views.clone(), views.shape[-1] // tiles
    share = torch.arange(1, 2 * band + 1, device=views.device, dtype=views.dtype)
    share = share / (2 * band + 1)
    for axis in (3, 2):
        lines = views.movedim(axis, -1)  # a view of the same memory
        for seam in range(side, views.shape[-1], side):
            before, after = (lines[..., [i]].clone() for i in (seam - band - 1, seam + band))
            lines[..., seam - band : seam + band] = before + share * (after - before)
    return views
