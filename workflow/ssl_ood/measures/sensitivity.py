"""The sensitivity score of section 3.4: what is held out, and its value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.measures.metrics import auroc
from ssl_ood.measures.similarity import similarity_blocks

if TYPE_CHECKING:
    from torch import Tensor


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


def sensitivity(held: Tensor, test: Tensor, reference: Tensor, tau: float) -> float:
    """The sensitivity score of three sets of features, (N, d), (M, d) and (R, d): the AUROC of the
    score of equation 6.1 with the in-distribution test images as the anomalous class.

    For few images, at one temperature: evaluation has its own way for many.
    """
    import torch

    def score(features: Tensor) -> np.ndarray:
        """In the log domain: the same order, nothing overflows."""
        parts = []
        for _, columns in similarity_blocks(features.double(), reference.double()):
            cosines = torch.cat([cosines for _, cosines in columns], 1)
            parts.append(-torch.logsumexp(cosines / tau, 1))
        return torch.cat(parts).cpu().numpy()

    return auroc(score(held), score(test))
