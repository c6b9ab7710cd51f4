"""The nearest training images of a test image, and the label that they vote for.

Ours rather than scikit-learn's: on the device where the features are, in blocks, all ways of voting
from one search. The tests hold it against scikit-learn.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.measures.similarity import product_blocks, similarity_blocks

SPARE = 16  # candidates beyond the k nearest of a search in float32


@torch.no_grad()
def nearest(test: Tensor, train: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k most similar training images of each test image.

    Returns cosine similarities (N, k), largest first, and training indices (N, k) int64.
    """
    if k > len(train):
        raise UserError(f"evaluation.knn is {k}, but there are only {len(train)} training images.")
    similarities, indices = [], []
    for _, columns in similarity_blocks(test, train):
        best, where = _largest(columns, k)
        similarities.append(best)
        indices.append(where)
    return torch.cat(similarities), torch.cat(indices)


def _largest(columns: Iterable[tuple[int, Tensor]], k: int) -> tuple[Tensor, Tensor]:
    """The k largest values of every row, largest first, and their columns, from blocks of columns
    with the index of their first."""
    best, where = None, None
    for first, block in columns:
        values, columns_of = block.topk(min(k, block.shape[1]))
        columns_of = columns_of + first
        if best is not None:
            values, columns_of = torch.cat([best, values], 1), torch.cat([where, columns_of], 1)
        best, order = values.topk(min(k, values.shape[1]))
        where = columns_of.gather(1, order)
    return best, where


@torch.no_grad()
def nearest_distances(test: Tensor, train: Tensor, k: int) -> Tensor:
    """Euclidean distances (N, k) float64 of each test vector to the k nearest of training, rising.

    test (N, d), train (M, d) float32 with k <= M. The nearest by |b|^2 - 2ab are searched in
    float32, in blocks, with some to spare; the distances to those are then taken in float64, since
    the difference of large squares has lost its last digits.
    """
    half_squares = train.square().sum(1) / 2
    distances = []
    for rows, columns in product_blocks(test, train):
        near = (
            (first, products.sub_(half_squares[first : first + products.shape[1]]))
            for first, products in columns
        )
        _, where = _largest(near, min(k + SPARE, len(train)))
        exact = [
            (train[own].double() - one.double()).square().sum(1)
            for one, own in zip(test[rows], where, strict=True)
        ]
        distances.append(torch.stack(exact).topk(k, dim=1, largest=False).values.sqrt())
    return torch.cat(distances)


def knn_votes(
    similarities: Tensor, labels: Tensor, classes: int, temperature: float | None = None
) -> Tensor:
    """Labels (N,) that the k nearest neighbours vote for.

    similarities: (N, k), largest first; labels: (N, k) int64 in 0..classes-1, of the neighbours.
    Without a temperature every neighbour has one vote, and of the labels with equally many the
    one of the nearest neighbour wins. With it a vote weighs exp(cos / temperature), as in the DINO
    reference (0.07) and the code of chapter 6 (0.04); it is taken relative to the nearest, which
    changes no vote and cannot overflow.
    """
    n, k = labels.shape
    votes = torch.zeros(n, classes, dtype=torch.float64, device=labels.device)
    if temperature is None:
        weights = torch.ones(n, k, dtype=torch.float64, device=labels.device)
    else:
        weights = ((similarities - similarities[:, :1]).double() / temperature).exp()
    votes.scatter_add_(1, labels, weights)
    # Of the neighbours in order of similarity, the first whose label has the most votes: argmax
    # on CUDA does not promise the first of equal values, hence the ranks.
    of_neighbour = votes.gather(1, labels)
    rank = torch.arange(k, device=labels.device).expand(n, k)
    leading = of_neighbour == of_neighbour.amax(1, keepdim=True)
    first = torch.where(leading, rank, k).amin(1, keepdim=True)
    return labels.gather(1, first)[:, 0]
