"""Scores of networks that tell classes or rotations (sections 2.2.1, 2.2.2 and 4.4.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "score",
    "msp",
    title="MSP",
    notes="1 minus the largest softmax probability (section 2.2.1)",
    needs={"logits"},
)
def msp(logits: Tensor) -> Tensor:
    """1 - max_k p_k of logits (N, K), (N,) float64 in 0..1 - 1/K. Hendrycks and Gimpel (2017)."""
    return 1 - logits.double().softmax(1).amax(1)


@register(
    "score",
    "mahalanobis_classes",
    title="Mahalanobis of classes",
    notes="squared distance to the nearest class mean, one covariance for all (section 2.2.2)",
    needs={"features", "labels"},
    distance=True,
)
def mahalanobis_classes(test: Tensor, train: Tensor, labels: Tensor) -> Tensor:
    """min_c (f - mean_c)^T covariance^-1 (f - mean_c), (N,) float64 >= 0. Lee et al. (2018).

    test: (N, d), train: (M, d) features as they are; labels: (M,) of the training images. The
    covariance is that of the training features about their class means, over M - 1 (which scales
    all distances alike). Raises UserError where a training image has no label.
    """
    import torch

    from ssl_ood.evaluation.scores.mahalanobis import covariance_factor

    if int(labels.min()) < 0:
        raise UserError(
            "The score mahalanobis_classes needs the label of every training image: take it out of "
            "evaluation.scores of a study whose dataset has none."
        )
    classes, ranks = labels.unique(return_inverse=True)
    train, test = train.double(), test.double()
    counts = torch.bincount(ranks, minlength=len(classes)).double()
    means = torch.zeros(len(classes), train.shape[1], dtype=torch.float64, device=train.device)
    means.index_add_(0, ranks, train)
    means /= counts[:, None]
    factor = covariance_factor(train - means[ranks])
    distances = [
        torch.linalg.solve_triangular(factor, (test - mean).T, upper=False).square().sum(0)
        for mean in means
    ]
    return torch.stack(distances).amin(0)


@register(
    "score",
    "rotation_likelihood",
    title="rotations",
    notes="minus the mean log-likelihood of the four right rotations (section 4.4.2)",
    needs={"rotations"},
    embedding="rotations",
)
def rotation_likelihood(test: Tensor, train: Tensor) -> Tensor:
    """-1/4 sum_r log p_r(x turned by r), (N,) float64 >= 0.

    test: logits (N, 4, 4), [i, r] of image i turned r times. Training images play no part.
    """
    return -_right(test).mean(1)


@register(
    "score",
    "transformations",
    title="transformations",
    notes="minus the mean log-likelihood of the right kinds, over transformations",
    needs={"transformations"},
    embedding="transformations",
)
def transformations(test: Tensor, train: Tensor) -> Tensor:
    """-1/T sum_t mean_k log p_t(k | x given kind k of t), (N,) float64 >= 0: an ensemble of heads.

    test: (N, T), see `methods.mtl`. Training images play no part.
    """
    return -test.double().mean(1)


@register(
    "score",
    "geometric",
    title="Geometric",
    notes="-KL(uniform || classes) + mean_r KL(right rotation || rotations), in bits",
    needs={"rotations", "logits"},
    embedding="rotations",
)
def geometric(test: Tensor, train: Tensor, logits: Tensor) -> Tensor:
    """The two-part score of Hendrycks et al. (2019), (N,) float64 in bits.

    test: logits (N, 4, 4) of the rotations; logits: (N, K) of the classes. The first part is large
    (near 0) where no class stands out, the second where the rotations are not told.
    """
    log_classes = logits.double().log_softmax(1)
    uniform = -math.log(logits.shape[1]) - log_classes.mean(1)  # KL(U || p) in nats
    return (-uniform - _right(test).mean(1)) / math.log(2)


def _right(rotations: Tensor) -> Tensor:
    """log p of the right rotation of each turned copy, (N, 4), from logits (N, 4, 4)."""
    return rotations.double().log_softmax(2).diagonal(dim1=1, dim2=2)
