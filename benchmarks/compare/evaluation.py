"""Scores and AUROC, ours against scikit-learn and NumPy, and against the bare matrix product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from compare.presets import Preset
from compare.timing import Comparison, compare, timed
from ssl_ood.evaluation.scores.cosine import cosine_tau
from ssl_ood.evaluation.scores.mahalanobis import mahalanobis
from ssl_ood.measures import metrics
from ssl_ood.measures.knn import nearest

USUAL_ROWS = 1000  # test images that the usual way takes at a time; of more, it is given a tenth


def measure(preset: Preset, repeats: int, device: torch.device) -> tuple[list[Comparison], dict]:
    """The comparisons, and the seconds of each score as a multiple of the bare product's."""
    rng = np.random.default_rng(0)
    train, test = (
        rng.normal(0.3, 1, (count, preset.dimensions)).astype(np.float32)
        for count in (preset.train, preset.test)
    )
    part = test if len(test) < 10 * USUAL_ROWS else test[: len(test) // 10]
    a, b = torch.from_numpy(test).to(device), torch.from_numpy(train).to(device)
    taus, neighbours = preset.evaluation["taus"], preset.evaluation["knn"]
    host = torch.device("cpu")
    sides: dict[str, tuple[Callable, Callable]] = {
        f"cosine score, {len(taus)} temperatures": (
            lambda: cosine_tau(a, b, taus),
            lambda: usual_cosine(part, train, taus),
        ),
        "Mahalanobis score": (
            lambda: mahalanobis(a, b),
            lambda: usual_mahalanobis(part, train),
        ),
        f"{neighbours} nearest neighbours": (
            lambda: nearest(a, b, neighbours),
            lambda: usual_neighbours(part, train, neighbours),
        ),
    }
    found = [
        compare(name, "test images", (len(test), len(part)),
                timed(ours, device), timed(usual, host), repeats,
                f"against {len(train):,} training images, {preset.dimensions} dimensions")
        for name, (ours, usual) in sides.items()
    ]  # fmt: skip
    product = _seconds(lambda: bare_product(a, b), repeats, device)
    multiples = {c.part: float(np.median(np.divide(c.ours, product))) for c in found}
    found.append(_auroc(preset, repeats, rng))
    return found, {"bare_product_seconds": product, "times_of_the_bare_product": multiples}


def _seconds(function: Callable, repeats: int, device: torch.device) -> list[float]:
    run = timed(function, device)
    return [run() for _ in range(repeats + 1)][1:]


def bare_product(test: Tensor, train: Tensor, rows: int = 4096) -> None:
    """Every similarity, made and thrown away: the least that any score of pairs can cost."""
    out = torch.empty(min(rows, len(test)), len(train), device=test.device)
    for block in test.split(rows):
        torch.matmul(block, train.T, out=out[: len(block)])


def usual_cosine(test: np.ndarray, train: np.ndarray, taus: list[float]) -> np.ndarray:
    """Equation 6.1 for every temperature, (N, T), as one would write it."""
    from sklearn.metrics.pairwise import cosine_similarity

    out = []
    for first in range(0, len(test), USUAL_ROWS):
        similarity = cosine_similarity(test[first : first + USUAL_ROWS], train)
        out.append(np.stack([-np.exp(similarity / tau).mean(axis=1) for tau in taus], axis=1))
    return np.concatenate(out)


def usual_mahalanobis(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Equation 7.1, (N,)."""
    from sklearn.covariance import EmpiricalCovariance
    from sklearn.preprocessing import normalize

    return EmpiricalCovariance().fit(normalize(train)).mahalanobis(normalize(test))


def usual_neighbours(test: np.ndarray, train: np.ndarray, k: int) -> np.ndarray:
    """Indices (N, k) of the nearest training images."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(train)
    return model.kneighbors(test, return_distance=False)


def usual_interval(below: np.ndarray, above: np.ndarray, resamples: int) -> tuple[float, ...]:
    """AUROC with a bootstrap interval over images."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [len(below), len(above)])
    value = roc_auc_score(labels, np.concatenate([below, above]))
    drawn = [
        roc_auc_score(labels, np.r_[rng.choice(below, len(below)), rng.choice(above, len(above))])
        for _ in range(resamples)
    ]
    return value, *np.quantile(drawn, [0.025, 0.975])


def _auroc(preset: Preset, repeats: int, rng: np.random.Generator) -> Comparison:
    below, above = rng.normal(0, 1, preset.scores // 2), rng.normal(1, 1, preset.scores // 2)
    host = torch.device("cpu")
    return compare(
        "AUROC with interval", "scores", (preset.scores, preset.scores),
        timed(lambda: metrics.auroc_interval(below, above), host),
        timed(lambda: usual_interval(below, above, preset.resamples), host),
        repeats, f"DeLong's interval against a bootstrap of {preset.resamples} resamples",
    )  # fmt: skip
