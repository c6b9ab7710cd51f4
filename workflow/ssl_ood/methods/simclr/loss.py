"""Contrastive learning within a batch: equations 4.10 and 4.11."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Equation 4.10, the mean over all 2 N views: -log(exp(s_ij / T) / sum_{k != i} exp(s_ik / T)).

    one, other: (N, d) unit vectors of two views of the same images; s: their cosines; j: the other
    view of the image of i. Returns a scalar >= 0. In float32 also under autocast.
    """
    with torch.autocast(one.device.type, enabled=False):
        vectors = torch.cat([one, other]).float()
        logits = vectors @ vectors.T / temperature
    logits.fill_diagonal_(-math.inf)
    return F.cross_entropy(logits, partners(logits))


def partners(logits: Tensor) -> Tensor:
    """The row of the other view of the same image, (2 N,), for cosines (2 N, 2 N)."""
    count = len(logits)
    return (torch.arange(count, device=logits.device) + count // 2) % count


def mutual_information(loss: float, images: int) -> float:
    """The lower bound on the mutual information of two views in nats, equation 4.11.

    log(2 N - 1) - loss, for NT-Xent of N images: the number of candidates less the loss.
    """
    return math.log(2 * images - 1) - loss
