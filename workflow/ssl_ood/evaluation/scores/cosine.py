"""Scores from cosine similarities to the training features: equations 6.1 and 7.2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor

LOG2_E = math.log2(math.e)


@register(
    "score",
    "cosine_tau",
    title="equation 6.1",
    notes="mean similarity to the training features (equation 6.1)",
    needs={"features"},
    temperature=True,
)
def cosine_tau(
    test: Tensor,
    train: Tensor,
    taus: Sequence[float],
    block: tuple[int, int] | None = None,
) -> Tensor:
    """Equation 6.1 in the log domain: -log(mean_m exp(cos(f, f_m) / tau)), (N, T) float64.

    Minus the logarithm of minus the thesis's score: the same order and so the same AUROC, but
    without its overflow at small tau. One pass over the similarities serves all T temperatures.
    Raises UserError for a tau that is not positive.
    """
    import torch

    from ssl_ood.measures.similarity import similarity_blocks

    if not all(tau > 0 for tau in taus):
        raise UserError(f"evaluation.taus has {min(taus)}: every temperature must be above 0.")
    out = torch.empty(len(test), len(taus), dtype=torch.float64, device=test.device)
    inverse = torch.tensor([1 / tau for tau in taus], dtype=torch.float64, device=test.device)
    ladders = halving_ladders(taus)
    for rows, columns in similarity_blocks(test, train, block):
        # Sums of exp((cos - top) / tau) relative to the largest cosine so far: nothing overflows,
        # and one running maximum does for every tau.
        top = torch.full((rows.stop - rows.start, 1), -2.0, device=test.device)
        sums = torch.zeros(len(top), len(taus), dtype=torch.float64, device=test.device)
        terms = None
        for _, cosines in columns:
            new_top = torch.maximum(top, cosines.amax(1, keepdim=True))
            shift, top = (top - new_top).double(), new_top
            cosines -= top
            if terms is None or terms.shape != cosines.shape:
                terms = torch.empty_like(cosines)
            sums *= torch.exp(shift * inverse)
            for ladder in ladders:
                # 2^x, which costs a CPU a third of e^x; half the temperature squares the terms.
                torch.mul(cosines, LOG2_E / taus[ladder[0]], out=terms).exp2_()
                sums[:, ladder[0]] += terms.sum(1)
                for t in ladder[1:]:
                    sums[:, t] += terms.mul_(terms).sum(1)
        out[rows] = math.log(len(train)) - sums.log() - top.double() * inverse
    return out


def halving_ladders(taus: Sequence[float]) -> list[list[int]]:
    """Indices of all temperatures in ladders, each of half the temperature before it.

    Of equal temperatures every one has a ladder of its own or a place in one.
    """
    left = sorted(range(len(taus)), key=lambda t: -taus[t])
    ladders = []
    while left:
        ladder = [left.pop(0)]
        while half := [t for t in left if math.isclose(2 * taus[t], taus[ladder[-1]])]:
            ladder.append(half[0])
            left.remove(half[0])
        ladders.append(ladder)
    return ladders


@register(
    "score",
    "cosine_max",
    title="cosine",
    notes="minus the largest cosine similarity to a training feature (equation 7.2)",
    needs={"features"},
)
def cosine_max(test: Tensor, train: Tensor) -> Tensor:
    """Equation 7.2, exactly: -max_m exp(cos(f, f_m)), (N,) float64 in -e..-1/e."""
    import torch

    from ssl_ood.measures.similarity import similarity_blocks

    out = torch.empty(len(test), dtype=torch.float64, device=test.device)
    for rows, columns in similarity_blocks(test, train):
        top = torch.stack([cosines.amax(1) for _, cosines in columns]).amax(0)
        out[rows] = -top.double().exp()
    return out
