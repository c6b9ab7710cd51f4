"""Self-distillation with negatives: the two objectives, the centre and the teacher (chapter 6).

The student sees every view, the teacher the positive global views. Positive views of one image are
pulled to the same soft-class (equation 3); negative views are pushed to the uniform distribution
over the K soft-classes (equation 4).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def teacher_probabilities(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((logits - centre) / temperature) in float32; logits (..., K), centre (K,)."""
    return F.softmax((logits.float() - centre) / temperature, dim=-1)


def positive_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """L_pos, equation 3: cross-entropy between the views of one image.

    student: logits (V, B, K), the global views first; teacher: probabilities (G, B, K) of the first
    G of these views. Mean over the G * (V - 1) pairs with different views, then over the batch.
    Returns a scalar >= 0.
    """
    logits = student.float() / temperature
    views, batch, _ = logits.shape
    n_global = len(teacher)
    # log p = logits - log_sum, and a teacher's probabilities sum to 1: of all the log p only the
    # sums are made. The sum over all pairs at once, less the pairs of a view with itself.
    log_sum = torch.logsumexp(logits, dim=-1)
    all_pairs = (teacher.sum(0) * logits.sum(0)).sum() - n_global * log_sum.sum()
    same_view = (teacher * logits[:n_global]).sum() - log_sum[:n_global].sum()
    return (same_view - all_pairs) / (n_global * (views - 1) * batch)


def negative_loss(student: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """L_neg, equation 4: cross-entropy with the uniform distribution, >= log K.

    student: logits (V, N, K) of the negative views. Mean of -(1/K) sum_k log p_k over views, batch.
    weights: (N,) of mean 1, of the negatives; without them all count alike.
    """
    logits = student.float() / temperature
    losses = torch.logsumexp(logits, dim=-1) - logits.mean(dim=-1)
    return (losses if weights is None else losses * weights).mean()


@torch.no_grad()
def update_centre(centre: Tensor, batch_mean: Tensor, momentum: float) -> None:
    """centre <- momentum * centre + (1 - momentum) * mean teacher logits (K,) of the positives."""
    centre.lerp_(batch_mean, 1 - momentum)


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats along the last axis; 0 log 0 = 0."""
    return torch.special.entr(probabilities).sum(-1)
