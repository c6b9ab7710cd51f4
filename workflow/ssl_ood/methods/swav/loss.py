"""Swapped prediction of cluster assignments: equations 1 to 5 of Caron et al. (2020)."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def assignments(scores: Tensor, epsilon: float, rounds: int) -> Tensor:
    """Soft assignments (B, K) of a batch that use every prototype about equally, rows of sum 1.

    scores: (B, K) cosines with the prototypes. Sinkhorn-Knopp on exp(scores / epsilon), in
    logarithms: in turn every prototype gets an equal share, then every image a whole one.
    """
    logs = scores.float() / epsilon
    for _ in range(rounds):
        logs = logs - logs.logsumexp(0, keepdim=True)
        logs = logs - logs.logsumexp(1, keepdim=True)
    return logs.exp()


def swapped_loss(one: Tensor, other: Tensor, temperature: float, sinkhorn: tuple) -> Tensor:
    """-1/2 sum_k [q2_k log p1_k + q1_k log p2_k], a mean over images; p = softmax(scores / T).

    one, other: scores (B, K) of two views of the same images; sinkhorn: epsilon and rounds of
    `assignments`, through which no gradient goes. Returns a scalar >= 0.
    """
    with torch.autocast(one.device.type, enabled=False):
        views = one.float(), other.float()
        codes = [assignments(scores, *sinkhorn) for scores in views]
        logs = [(scores / temperature).log_softmax(1) for scores in views]
        each = [-(q * p).sum(1).mean() for q, p in zip(codes, reversed(logs), strict=True)]
    return sum(each) / 2
