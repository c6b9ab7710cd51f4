"""Predicting rotations: equation 4.4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TURNS = 4  # by 0, 90, 180 and 270 degrees


def turned(views: Tensor) -> Tensor:
    """(N, C, S, S) -> (4 N, C, S, S): view i, turned r times by 90 degrees, in row r N + i."""
    return torch.cat([torch.rot90(views, turns, (2, 3)) for turns in range(TURNS)])


def turns_of(logits: Tensor) -> Tensor:
    """The right answers (4 N,) for logits (4 N, 4) of `turned` views."""
    return torch.arange(TURNS, device=logits.device).repeat_interleave(len(logits) // TURNS)


def rotation_loss(logits: Tensor) -> Tensor:
    """Equation 4.4, a mean over images: -1/4 sum_r log p_r(x turned by r).

    logits: (4 N, 4) of `turned` views. Returns a scalar >= 0; log 4 where nothing is known.
    """
    return F.cross_entropy(logits, turns_of(logits))
