"""Figures of merit of anomaly scores. Light imports only: tables and dry tools use it too.

Scores are 1-d arrays of floats, larger is more anomalous; out-of-distribution is the positive class
and ties count half. Every function raises UserError for empty or non-finite scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ood.common.errors import UserError


class Interval(NamedTuple):
    """A value and its confidence interval."""

    value: float
    low: float
    high: float


def checked_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """`scores` as a float64 array; UserError that names `name` where they cannot be ranked."""
    array = np.asarray(scores, dtype=np.float64).ravel()
    if not len(array):
        raise UserError(f"There are no {name} scores: nothing can be ranked against them.")
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise UserError(
            f"{bad} of {len(array)} {name} scores are NaN or infinite: look at the features of the "
            "run; a training that diverged gives such values."
        )
    return array


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, len(values)])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def placements(
    in_scores: ArrayLike, out_scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DeLong's structural components, by ranks in O(n log n).

    For each in-distribution image the share of OOD images above it, for each OOD image the share
    of in-distribution images below it; ties half. The mean of either is the AUROC.
    """
    below = checked_scores(in_scores, "in-distribution")
    above = checked_scores(out_scores, "OOD")
    n_in, n_out = len(below), len(above)
    ranks = midranks(np.concatenate([below, above]))
    of_in = 1 - (ranks[:n_in] - midranks(below)) / n_out
    of_out = (ranks[n_in:] - midranks(above)) / n_in
    return of_in, of_out


def auroc(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Area under the ROC curve in 0..1: the probability that an OOD image scores higher."""
    return float(placements(in_scores, out_scores)[1].mean())


def auroc_interval(
    in_scores: ArrayLike, out_scores: ArrayLike, confidence: float = 0.95
) -> Interval:
    """AUROC with DeLong's interval over images (DeLong et al. 1988), clipped to 0..1.

    The interval says nothing about the spread over trainings.
    """
    return mean_auroc_interval(in_scores, [out_scores], confidence)


def mean_auroc_interval(
    in_scores: ArrayLike, out_sets: Sequence[ArrayLike], confidence: float = 0.95
) -> Interval:
    """Unweighted mean AUROC over several OOD sets with DeLong's interval.

    All sets are compared with the same in-distribution images, so that part of their error is
    shared: the images' components are averaged over the sets before their variance is taken.
    """
    pairs = [placements(in_scores, out) for out in out_sets]
    if not pairs:
        raise UserError("A mean AUROC needs at least one OOD set.")
    of_in = np.mean([pair[0] for pair in pairs], axis=0)
    value = float(np.mean([pair[1].mean() for pair in pairs]))
    variance = (
        _variance_of_mean(of_in)
        + sum(_variance_of_mean(of_out) for _, of_out in pairs) / len(pairs) ** 2
    )
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return Interval(value, max(0.0, value - half), min(1.0, value + half))


class ModelScores(NamedTuple):
    """Scores of one model, of the in-distribution images and of each OOD set."""

    in_scores: ArrayLike
    out_sets: Sequence[ArrayLike]


def auroc_difference(one: ModelScores, other: ModelScores, confidence: float = 0.95) -> Interval:
    """Mean AUROC of one model minus that of another on the same images, with DeLong's interval.

    Both have scored the same images in the same order, so what an image does to both cancels: the
    components of the two are subtracted before their variance is taken, which is DeLong's
    covariance. For one model on two OOD sets see `auroc_contrast`. Raises UserError where the
    numbers of images differ.
    """
    return mean_auroc_difference([(one, other)], confidence)


def mean_auroc_difference(
    pairs: Sequence[tuple[ModelScores, ModelScores]], confidence: float = 0.95
) -> Interval:
    """The mean of `auroc_difference` over pairs of models, all on the same images.

    The components of the pairs are averaged, too, before their variance is taken.
    """
    counts = {
        tuple(len(np.ravel(scores)) for scores in (model.in_scores, *model.out_sets))
        for pair in pairs
        for model in pair
    }
    if len(counts) != 1:
        raise UserError("Two models are compared on other numbers of images: score both again.")
    of_in, of_out = [], []  # differences of components, by pair; of each OOD set
    for one, other in pairs:
        parts = [
            [
                a - b
                for a, b in zip(
                    placements(one.in_scores, x), placements(other.in_scores, y), strict=True
                )
            ]
            for x, y in zip(one.out_sets, other.out_sets, strict=True)
        ]
        of_in.append(np.mean([part[0] for part in parts], axis=0))
        of_out.append([part[1] for part in parts])
    by_set = [np.mean(sets, axis=0) for sets in zip(*of_out, strict=True)]
    value = float(np.mean([components.mean() for components in by_set]))
    variance = _variance_of_mean(np.mean(of_in, axis=0))
    variance += sum(_variance_of_mean(components) for components in by_set) / len(by_set) ** 2
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


def auroc_contrast(
    in_scores: ArrayLike, one: ArrayLike, other: ArrayLike, confidence: float = 0.95
) -> Interval:
    """AUROC of one OOD set minus that of another by the same model, with DeLong's interval.

    The in-distribution images are shared, the OOD images are not.
    """
    a, b = placements(in_scores, one), placements(in_scores, other)
    variance = _variance_of_mean(a[0] - b[0]) + _variance_of_mean(a[1]) + _variance_of_mean(b[1])
    value = float(a[1].mean() - b[1].mean())
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


def accuracy_difference(
    one: ArrayLike, other: ArrayLike, labels: ArrayLike, confidence: float = 0.95
) -> Interval:
    """Share of right answers of one model minus that of another on the same images.

    The interval is the normal one of the mean of the differences by image, -1, 0 or 1.
    """
    labels = np.asarray(labels)
    differences = (np.asarray(one) == labels).astype(float) - (np.asarray(other) == labels)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(_variance_of_mean(differences))
    value = float(differences.mean())
    return Interval(value, value - half, value + half)


def spearman_limits(rho: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a rank correlation over n points (Fieller, Hartley and Pearson 1957).

    Fisher's z with the variance 1.06 / (n - 3); NaN for fewer than 4 points.
    """
    if n < 4 or math.isnan(rho):
        return math.nan, math.nan
    z = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(1.06 / (n - 3))
    return math.tanh(z - half), math.tanh(z + half)


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    # One image alone says nothing about the spread: 0.25 is the largest variance of a share.
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.25


def fpr_at_tpr(in_scores: ArrayLike, out_scores: ArrayLike, tpr: float = 0.95) -> float:
    """Share of in-distribution images flagged where at least `tpr` of the OOD images are."""
    below = checked_scores(in_scores, "in-distribution")
    above = checked_scores(out_scores, "OOD")
    needed = math.ceil(tpr * len(above) - 1e-9)  # 0.95 * 20 must not become 20 by rounding
    threshold = np.sort(above)[len(above) - max(needed, 1)]
    return float(np.mean(below >= threshold))


def aupr(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Area under the precision-recall curve as average precision, OOD positive.

    Depends on the share of OOD images: compare only between scores of the same images.
    """
    below = checked_scores(in_scores, "in-distribution")
    above = checked_scores(out_scores, "OOD")
    scores = np.concatenate([below, above])
    order = np.argsort(-scores, kind="stable")
    positive = order >= len(below)
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])  # of each run of ties
    hits = np.cumsum(positive)[last]
    precision = hits / (last + 1)
    return float(np.sum(np.diff(np.r_[0, hits]) * precision) / len(above))


def accuracy_interval(
    predicted: ArrayLike, labels: ArrayLike, confidence: float = 0.95
) -> Interval:
    """Share of equal entries, with Wilson's interval over images."""
    correct = np.asarray(predicted) == np.asarray(labels)
    n, share = len(correct), float(np.mean(correct))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(share, middle - half, middle + half)


def occupied_soft_classes(probability: ArrayLike) -> int:
    """Soft-classes with a mean teacher probability above the average over all K, which is 1 / K.

    probability: (K,), sums to 1: mean teacher probability over the in-distribution test set.
    """
    array = checked_scores(probability, "soft-class")
    return int(np.count_nonzero(array > 1 / len(array)))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; NaN for fewer than 2 points or where one side is constant."""
    a = np.asarray(x, dtype=np.float64)
    b = np.asarray(y, dtype=np.float64)
    if len(a) < 2:
        return math.nan
    a, b = midranks(a), midranks(b)
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm else math.nan


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean of a few independent values with Student's interval; (mean, NaN, NaN) for one value."""
    from scipy.special import stdtrit

    array = checked_scores(values, "repeated")
    mean, n = float(array.mean()), len(array)
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2) * array.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)
