"""Scores of contrastive methods: those of SSD and of CSI (table 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register
from ssl_ood.common.settings import Count, Settings

if TYPE_CHECKING:
    from torch import Tensor

SEED = 0  # of k-means: scores are a function of features alone
TURNS = 4


class SsdOptions(Settings):
    """Options of the score ssd."""

    clusters: Count = Field(1, description="clusters of the training features")


@register(
    "score",
    "ssd",
    title="SSD",
    notes="Mahalanobis distance of L2-normalised, standardised features to the nearest cluster",
    needs={"features"},
    settings=SsdOptions,
    distance=True,
)
def ssd(test: Tensor, train: Tensor, clusters: int) -> Tensor:
    """min_c (f - mean_c)^T covariance_c^-1 (f - mean_c), (N,) float64 >= 0. Sehwag et al. (2021).

    Features of unit length, standardised by the training mean and deviation of each dimension
    (which changes nothing for one cluster but rounding), are parted by k-means (scikit-learn);
    every cluster has its own mean and covariance, over its own number of features.
    """
    import torch
    import torch.nn.functional as F
    from sklearn.cluster import KMeans

    from ssl_ood.evaluation.scores.mahalanobis import covariance_factor

    train, test = F.normalize(train, dim=1).double(), F.normalize(test, dim=1).double()
    mean, deviation = train.mean(0), train.std(0, correction=0).clamp_min(1e-10)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    parts = [train]
    if clusters > 1:
        assigned = KMeans(clusters, n_init=1, random_state=SEED).fit_predict(train.cpu().numpy())
        parts = [train[torch.from_numpy(assigned == c).to(train.device)] for c in range(clusters)]
    if min(map(len, parts)) < 2:
        raise UserError(
            f"The score ssd has a cluster of less than 2 of {len(train)} training images: lower "
            "evaluation.parameters.ssd.clusters."
        )
    distances = []
    for part in parts:
        centre = part.mean(0)
        factor = covariance_factor(part - centre) * ((len(part) - 1) / len(part)) ** 0.5
        white = torch.linalg.solve_triangular(factor, (test - centre).T, upper=False)
        distances.append(white.square().sum(0))
    return torch.stack(distances).amin(0)


@register(
    "score",
    "csi",
    title="CSI",
    notes="minus the mean over rotations of the largest cosine times the norm, and of the logit",
    needs={"csi"},
    embedding="csi",
)
def csi(test: Tensor, train: Tensor) -> Tensor:
    """The score of CSI (Tack et al., 2020) with its balancing weights, (N,) float64.

    -1/4 sum_r [max_m cos(z_r, z_rm) |z_r| / mean_m |z_rm| + l_r / mean_m l_rm]: z_r the mean
    projection of the image turned r times, l_r its logit of that rotation, m the training images.
    test, train: (N or M, 4, d + 4), projections beside logits (`Model.embed`).
    """
    import torch

    from ssl_ood.measures.similarity import similarity_blocks

    total = 0.0
    for turn in range(TURNS):
        own, known = test[:, turn, :-TURNS], train[:, turn, :-TURNS]
        nearest = own.new_empty(len(own))
        for rows, columns in similarity_blocks(own, known):
            nearest[rows] = torch.stack([cosines.amax(1) for _, cosines in columns]).amax(0)
        norms = own.double().norm(dim=1) / known.double().norm(dim=1).mean()
        logits = test[:, turn, turn - TURNS], train[:, turn, turn - TURNS]
        total = total + nearest.double() * norms + logits[0].double() / logits[1].double().mean()
    return -total / TURNS
