"""Rotation, shift and zoom of every image by its own amount, as torchvision's affine does."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def affine(views: Tensor, angle: Tensor, shift: Tensor, zoom: Tensor) -> Tensor:
    """Turns, shifts and zooms every image about its centre; what comes from outside is black.

    views: (N, C, S, S); angle: (N,) degrees, clockwise; shift: (N, 2) pixels to the right and
    down; zoom: (N,), above 1 enlarges. Nearest neighbour, torchvision's default. Same shape.
    """
    size = views.shape[-1]
    radians = angle * (math.pi / 180)
    cos, sin = radians.cos() / zoom, radians.sin() / zoom
    # grid_sample asks where each target pixel comes from: the inverse of the map, in units of half
    # the image.
    x, y = (-shift * (2 / size)).unbind(1)
    rows = [
        torch.stack([cos, sin, cos * x + sin * y], 1),
        torch.stack([-sin, cos, -sin * x + cos * y], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(views.shape), align_corners=False)
    return F.grid_sample(views, grid, mode="nearest", align_corners=False)
