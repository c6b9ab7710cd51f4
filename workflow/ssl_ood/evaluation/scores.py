"""Anomaly scores from features: larger means more anomalous, always.

Features are raw (N, d) float32 tensors on one device, CPU or GPU; every score but `logit`
normalises them itself. Similarities are streamed in blocks of test and training images, so memory
does not grow with either. A new score is a function with the signature of those in `SCORES` and its
name there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.evaluation.score_columns import column_name

# Similarities that are worked on at a time, test by training images: on a CPU what stays in the
# cache, on a GPU what keeps it busy (two float32 buffers of this size: 512 MiB).
BLOCKS = {"cpu": (256, 4096), "cuda": (4096, 16384)}
SMALLEST_RIDGE = 1e-10  # of the mean variance; features carry float32 rounding, about 1e-7
MAHALANOBIS_BLOCK = 1024  # test images
LOG2_E = math.log2(math.e)
CONDITION = 1e13  # of a covariance, past which float64 solves nothing


def similarity_blocks(
    test: Tensor, train: Tensor, block: tuple[int, int] | None = None
) -> Iterator[tuple[slice, Iterator[tuple[int, Tensor]]]]:
    """Cosine similarities of (N, d) and (M, d) features in blocks.

    Yields the rows of a test block and an iterator over (first training index, (rows, columns)
    similarities). A feature of zeros has similarity 0 to everything.
    """
    test, train = F.normalize(test, dim=1), F.normalize(train, dim=1)
    block = block or BLOCKS[test.device.type]

    def columns(rows: slice) -> Iterator[tuple[int, Tensor]]:
        for first in range(0, len(train), block[1]):
            yield first, test[rows] @ train[first : first + block[1]].T

    for first in range(0, len(test), block[0]):
        rows = slice(first, min(first + block[0], len(test)))
        yield rows, columns(rows)


@torch.no_grad()
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


@torch.no_grad()
def cosine_max(test: Tensor, train: Tensor) -> Tensor:
    """Equation 7.2, exactly: -max_m exp(cos(f, f_m)), (N,) float64 in -e..-1/e."""
    out = torch.empty(len(test), dtype=torch.float64, device=test.device)
    for rows, columns in similarity_blocks(test, train):
        top = torch.stack([cosines.amax(1) for _, cosines in columns]).amax(0)
        out[rows] = -top.double().exp()
    return out


@torch.no_grad()
def mahalanobis(test: Tensor, train: Tensor) -> Tensor:
    """Equation 7.1 on L2-normalised features: (f - mean)^T covariance^-1 (f - mean), (N,) float64.

    Mean and covariance (over M - 1) are those of the training features. Solved by Cholesky in
    float64, for any d and M >= 2; see `covariance_factor` for singular covariances.
    """
    if len(train) < 2:
        raise UserError("The Mahalanobis score needs at least 2 training images for a covariance.")
    train = F.normalize(train, dim=1).double()
    mean = train.mean(0)
    factor = covariance_factor(train - mean)
    out = torch.empty(len(test), dtype=torch.float64, device=test.device)
    for rows in torch.arange(len(test), device=test.device).split(MAHALANOBIS_BLOCK):
        centred = F.normalize(test[rows], dim=1).double() - mean
        white = torch.linalg.solve_triangular(factor, centred.T, upper=False)
        out[rows] = white.square().sum(0)
    return out


def covariance_factor(centred: Tensor) -> Tensor:
    """Lower Cholesky factor of the covariance of centred (M, d) float64 features.

    Where the covariance is singular (d >= M, or constant directions) the smallest ridge of 1e-10,
    1e-9, ... times the mean variance that makes it well-posed is added to its diagonal, else none.
    """
    n, d = centred.shape
    covariance = centred.T @ centred / (n - 1)
    scale = float(covariance.diagonal().mean())
    if scale == 0:
        raise UserError("All training features are equal: the Mahalanobis score has no covariance.")
    diagonal = covariance.diagonal().clone()
    for ridge in [0.0] * (n > d) + [SMALLEST_RIDGE * 10**i for i in range(10)]:
        covariance.diagonal().copy_(diagonal + ridge * scale)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        pivots = factor.diagonal()
        if not failed and float(pivots.max() / pivots.min()) ** 2 < CONDITION:
            return factor
    raise AssertionError("a covariance with a ridge of its own size is positive definite")


@torch.no_grad()
def nearest(test: Tensor, train: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k most similar training images of each test image.

    Returns cosine similarities (N, k), largest first, and training indices (N, k) int64.
    """
    if k > len(train):
        raise UserError(f"evaluation.knn is {k}, but there are only {len(train)} training images.")
    similarities, indices = [], []
    for _, columns in similarity_blocks(test, train):
        best, where = None, None
        for first, cosines in columns:
            values, columns_of = cosines.topk(min(k, cosines.shape[1]))
            columns_of = columns_of + first
            if best is not None:
                values, columns_of = torch.cat([best, values], 1), torch.cat([where, columns_of], 1)
            best, order = values.topk(min(k, values.shape[1]))
            where = columns_of.gather(1, order)
        similarities.append(best)
        indices.append(where)
    return torch.cat(similarities), torch.cat(indices)


def knn_votes(
    similarities: Tensor, labels: Tensor, classes: int, temperature: float | None = None
) -> Tensor:
    """Labels (N,) that the k nearest neighbours vote for.

    similarities: (N, k), largest first; labels: (N, k) int64 in 0..classes-1, of the neighbours.
    Without a temperature every neighbour has one vote, and of the labels with equally many the
    one of the nearest neighbour wins. With it a vote weighs exp(cos / temperature), as in the DINO
    reference (0.07); exp(cos / temperature) is taken relative to the nearest, which changes no
    vote and cannot overflow.
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


def sensitivity_split(
    n_train: int, n_test: int, max_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted training indices (held out, reference) of the sensitivity score, section 3.4.

    B = n_test images are held out at random without replacement, at most max_share of the
    training set; the rest is the reference. Raises UserError where one of the two would be empty.
    """
    held = min(n_test, math.floor(max_share * n_train))
    if not 0 < held < n_train:
        raise UserError(
            f"The sensitivity score would hold out {held} of {n_train} training images: "
            "set evaluation.sensitivity.max_share so that both parts have images."
        )
    order = stream(seed, "sensitivity").permutation(n_train)
    return np.sort(order[:held]), np.sort(order[held:])


def logit(test: Tensor) -> Tensor:
    """The output of a fine-tuned classifier, (N,) float64: larger, more likely abnormal.

    test: (N, 1), the features of such a run. Training images play no part.
    """
    if test.shape[1] != 1:
        raise UserError(
            f"The score logit needs one output an image, but these features have {test.shape[1]}: "
            "take it out of evaluation.scores of a study whose method is not finetune."
        )
    return test[:, 0].double()


def _cosine_tau(test: Tensor, train: Tensor, evaluation: dict) -> dict[str, Tensor]:
    taus = sorted({*evaluation["taus"], evaluation["tau"]})
    scores = cosine_tau(test, train, taus)
    return {column_name("cosine_tau", tau): scores[:, t] for t, tau in enumerate(taus)}


# Name in the config -> function of test (N, d), training (M, d) features and the `evaluation`
# section of the config, that returns (N,) scores by column name.
SCORES: dict[str, Callable[[Tensor, Tensor, dict], dict[str, Tensor]]] = {
    "cosine_tau": _cosine_tau,
    "cosine_max": lambda test, train, evaluation: {"cosine_max": cosine_max(test, train)},
    "mahalanobis": lambda test, train, evaluation: {"mahalanobis": mahalanobis(test, train)},
    "logit": lambda test, train, evaluation: {"logit": logit(test)},
}


def compute_scores(test: Tensor, train: Tensor, evaluation: dict) -> dict[str, np.ndarray]:
    """The scores named in `evaluation["scores"]`: float64 arrays (N,) by column name."""
    columns: dict[str, np.ndarray] = {}
    for name in evaluation["scores"]:
        if name not in SCORES:
            raise UserError(f"Unknown score {name!r}: the scores are {', '.join(SCORES)}.")
        for column, values in SCORES[name](test, train, evaluation).items():
            columns[column] = values.cpu().numpy()
    return columns
