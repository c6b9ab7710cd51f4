"""Contrastive learning with a queue: the loss and the memory of negatives (chapter 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Equation 5.1 with the queue's keys in place of the other images of the batch, (B,) >= 0.

    -log(exp(q.k / T) / (exp(q.k / T) + sum_j exp(q.queue_j / T))) of each image. queries, keys:
    (B, d) of the same images, queue: (Q, d) of others, all of unit length; T the temperature.
    """
    return F.cross_entropy(
        contrasts(queries, keys, queue) / temperature,
        torch.zeros(len(queries), dtype=torch.long, device=queries.device),
        reduction="none",
    )


def contrasts(queries: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
    """Cosine similarities (B, 1 + Q): of a query with its own key first, then with the queue."""
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, queue = queries.float(), keys.float(), queue.float()
        return torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], dim=1)


@torch.no_grad()
def enqueue(queue: Tensor, keys: Tensor, step: int) -> None:
    """Writes the keys (B, d) of a step over the oldest of the queue (Q, d), in place.

    Every step has the same number of keys, so that the step alone tells where the oldest are.
    """
    places = step * len(keys) + torch.arange(len(keys), device=queue.device)
    queue[places % len(queue)] = keys.to(queue.dtype)
