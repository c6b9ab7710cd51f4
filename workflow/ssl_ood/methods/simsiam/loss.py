"""Pulling two views together without negatives: equations 1 to 4 of Chen and He (2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """Minus the cosine of (N, d) vectors, a mean over images, in -1..1; targets get no gradient.

    In float32 also under autocast.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        return -F.cosine_similarity(predicted.float(), target.detach().float(), dim=1).mean()


def symmetric(predicted: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    """The mean of both directions: each view's prediction against the other view's target."""
    (one, other), (target, other_target) = predicted, targets
    return (negative_cosine(one, other_target) + negative_cosine(other, target)) / 2


def alike(vectors: Tensor) -> Tensor:
    """How alike the directions of (N, d) vectors are: |mean unit vector|^2, 0 to 1 where all are
    the same: the collapse that such a loss allows."""
    return F.normalize(vectors.detach().float(), dim=1).mean(0).square().sum()
