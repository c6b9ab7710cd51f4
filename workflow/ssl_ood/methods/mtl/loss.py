"""The loss of shifting transformation learning: a weighted sum of several tasks."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor


def tasks_loss(
    contrastive: Tensor,
    contrastive_weight: float,
    logits: Mapping[str, Tensor],
    kinds: Mapping[str, Tensor],
    weights: Mapping[str, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """w_0 L_contrastive + sum_k w_k L_k, and every L_k: cross-entropy of the kinds that were given.

    logits: (N, kinds of k); kinds: (N,) int64; weights: w_k; all by the names of transformations.
    """
    losses = {name: F.cross_entropy(logits[name], kinds[name]) for name in weights}
    total = contrastive_weight * contrastive
    for name, weight in weights.items():
        total = total + weight * losses[name]
    return total, losses
