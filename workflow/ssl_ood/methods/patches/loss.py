"""Telling the position of a patch relative to another (section 4.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CENTRE = 4  # of nine patches, by rows
NEIGHBOURS = [place for place in range(9) if place != CENTRE]


def pairs(features: Tensor) -> Tensor:
    """Features (N, 9, d) of patches by rows -> (N, 8, 2 d): the middle one beside each other."""
    middle = features[:, [CENTRE] * len(NEIGHBOURS)]
    return torch.cat([middle, features[:, NEIGHBOURS]], dim=2)


def position_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of the right position, a mean over images and the eight pairs of each.

    logits: (N, 8, 8) of `pairs`, of pair k the position k. log 8 where nothing is known.
    """
    right = torch.arange(len(NEIGHBOURS), device=logits.device).expand(len(logits), -1)
    return F.cross_entropy(logits.flatten(0, 1), right.flatten())
