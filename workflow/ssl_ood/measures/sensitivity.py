"""The sensitivity score of section 3.4: which training images are held out for it."""

from __future__ import annotations

import math

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream


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
