"""Square tiles cut out of views: what the pretext tasks on patches see (section 4.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def cut(views: Tensor, corners: Tensor, side: int) -> Tensor:
    """Tiles of views: (N, C, S, S), corners (N, T, 2) int64 top and left -> (N, T, C, side, side).

    Every tile lies within its view.
    """
    count, channels = views.shape[:2]
    inside = torch.arange(side, device=views.device)
    down = (corners[..., :1] + inside)[:, :, None, :, None]
    right = (corners[..., 1:] + inside)[:, :, None, None, :]
    image = torch.arange(count, device=views.device)[:, None, None, None, None]
    channel = torch.arange(channels, device=views.device)[:, None, None]
    return views[image, channel, down, right]
