"""Thresholds with a known rate of false alarms, from calibration images that no training has seen.

Split conformal prediction (Vovk et al. 2005; Bates et al. 2023, "Testing for outliers with
conformal p-values"). Where new normal images and the n calibration images are exchangeable, the
rank of a new score among theirs is uniform. Larger scores are more anomalous. Light: NumPy only.

The threshold is the k-th largest calibration score, and what scores above it is flagged. Over the
draw of the calibration images the probability that a normal image is flagged is Beta(k, n + 1 - k)
(ties make it smaller), so that of m new normal images a beta-binomial number is flagged: its
interval counts the uncertainty of the threshold and that of the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.measures.metrics import checked_scores

ROUNDING = 1e-9  # 0.05 * 20 must not become 0 by rounding


@dataclass(frozen=True)
class Calibration:
    """Sorted scores (n,) float64 of in-distribution images that the model was not trained on."""

    scores: NDArray[np.float64]

    @classmethod
    def of(cls, scores: ArrayLike) -> Calibration:
        """Raises UserError where there are none, or where they cannot be ranked."""
        return cls(np.sort(checked_scores(scores, "calibration")))

    def __len__(self) -> int:
        return len(self.scores)

    def at_least(self, scores: ArrayLike) -> NDArray[np.int64]:
        """How many calibration scores are as large as each score, or larger: (m,) in 0..n."""
        return len(self.scores) - np.searchsorted(self.scores, np.asarray(scores), "left")

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """(1 + #{calibration >= score}) / (n + 1), (m,) in 1/(n+1)..1.

        For a normal image P(p <= a) <= a, for every a.
        """
        return (1 + self.at_least(scores)) / (len(self.scores) + 1)

    def allowed(self, rate: float) -> int:
        """k = floor(rate (n + 1)): an image is flagged if fewer than k calibration scores are as
        large as its own, which is p <= rate.

        Raises UserError for a rate outside of 0..1, and where k is 0: no score would be flagged.
        """
        if not 0 < rate < 1:
            raise UserError(f"A false-alarm rate of {rate:g} is not between 0 and 1: write 0.05.")
        n = len(self.scores)
        k = math.floor(rate * (n + 1) + ROUNDING)
        if k < 1:
            needed = math.ceil(1 / rate - ROUNDING) - 1
            raise UserError(
                f"{n} calibration images are too few for a false-alarm rate of {rate:g}, which "
                f"needs at least {needed:,}: ask for a rate of {_upwards(1 / (n + 1))} or more, or "
                "evaluate the run with more calibration images."
            )
        return k

    def threshold(self, rate: float) -> float:
        """The k-th largest calibration score: what is larger is flagged. Raises as `allowed`."""
        return float(self.scores[len(self.scores) - self.allowed(rate)])

    def flagged(self, scores: ArrayLike, rate: float) -> NDArray[np.bool_]:
        """Whether each score is above the threshold, (m,). Raises as `allowed`."""
        return self.at_least(scores) < self.allowed(rate)

    def false_alarms(self, rate: float, m: int, confidence: float = 0.95) -> tuple[int, int]:
        """The central interval of the number flagged among m new normal images, both ends in it.

        Raises as `allowed`.
        """
        k = self.allowed(rate)
        return beta_binomial_interval(m, k, len(self.scores) + 1 - k, confidence)


def beta_binomial_interval(m: int, a: int, b: int, confidence: float = 0.95) -> tuple[int, int]:
    """(low, high) of a beta-binomial number of m with the parameters a, b > 0.

    The smallest numbers at which the distribution function reaches (1 - confidence) / 2 and
    (1 + confidence) / 2: at least `confidence` lies in low..high.
    """
    total = np.cumsum(beta_binomial(m, a, b))
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = (min(int(np.searchsorted(total, end)), m) for end in ends)
    return low, high


def beta_binomial(m: int, a: int, b: int) -> NDArray[np.float64]:
    """Probabilities (m + 1,) of 0..m, by the ratios of neighbours, in the log domain."""
    j = np.arange(m)
    steps = np.log((m - j) / (j + 1)) + np.log((a + j) / (b + m - j - 1))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    powers = np.exp(logs - logs.max())
    return powers / powers.sum()


def _upwards(rate: float) -> str:
    """A rate in three digits, not below it."""
    digits = 2 - math.floor(math.log10(rate))
    return f"{math.ceil(rate * 10**digits) / 10**digits:g}"
