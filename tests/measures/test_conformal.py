"""False alarms: p-values, thresholds, and how many normal images are flagged by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from ssl_ood.common.errors import UserError
from ssl_ood.measures.conformal import Calibration, beta_binomial, beta_binomial_interval

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=60)  # few values: many ties
RATES = st.floats(0.01, 0.99)


@given(SCORES, SCORES)
def test_p_values_count_the_calibration_images_that_score_as_high(calibration, scores):
    slow = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    assert Calibration.of(calibration).p_values(scores).tolist() == slow


@given(SCORES, SCORES, RATES)
def test_flagged_is_above_the_threshold_and_a_small_p_value(calibration, scores, rate):
    known = Calibration.of(calibration)
    if rate * (len(calibration) + 1) < 1:
        with pytest.raises(UserError, match="too few"):
            known.flagged(scores, rate)
        return
    flagged = known.flagged(scores, rate)
    k = known.allowed(rate)
    assert known.threshold(rate) == sorted(calibration, reverse=True)[k - 1]
    assert flagged.tolist() == [s > known.threshold(rate) for s in scores]
    assert (
        flagged.tolist() == (known.at_least(scores) + 1 <= rate * (len(calibration) + 1)).tolist()
    )


def test_by_hand():
    known = Calibration.of([3.0, 1.0, 2.0, 4.0])
    assert known.p_values([5, 4, 2.5, 0]).tolist() == [1 / 5, 2 / 5, 3 / 5, 1]
    assert known.threshold(0.4) == 3.0 and known.flagged([3, 3.1], 0.4).tolist() == [False, True]


def test_19_images_are_the_fewest_for_one_false_alarm_in_20():
    """0.05 * 20 is less than 1 in some arithmetic, not in this one."""
    assert Calibration.of(range(19)).allowed(0.05) == 1
    with pytest.raises(UserError) as caught:
        Calibration.of(range(18)).allowed(0.05)
    assert str(caught.value) == (
        "18 calibration images are too few for a false-alarm rate of 0.05, which needs at least "
        "19: ask for a rate of 0.0527 or more, or evaluate the run with more calibration images."
    )
    assert Calibration.of(range(18)).allowed(0.0527) == 1


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, 5.0, float("nan")])
def test_a_rate_is_between_0_and_1(rate):
    with pytest.raises(UserError, match="not between 0 and 1"):
        Calibration.of(range(100)).allowed(rate)


@pytest.mark.parametrize("bad", [[], [float("nan"), 1.0]])
def test_scores_that_cannot_be_ranked_are_no_calibration(bad):
    with pytest.raises(UserError, match="calibration scores"):
        Calibration.of(bad)


@pytest.mark.parametrize(
    ("m", "a", "b"), [(1, 1, 1), (7, 2, 5), (70, 3, 68), (1000, 50, 951), (20_000, 5, 96)]
)
def test_beta_binomial_is_scipy_s(m, a, b):
    reference = betabinom(m, a, b)
    np.testing.assert_allclose(beta_binomial(m, a, b), reference.pmf(np.arange(m + 1)), rtol=1e-6)
    for confidence in (0.5, 0.95, 0.99):
        expected = tuple(map(int, reference.interval(confidence)))
        assert beta_binomial_interval(m, a, b, confidence) == expected


def test_no_images_have_no_false_alarms():
    assert beta_binomial_interval(0, 3, 5) == (0, 0)


def test_the_interval_holds_the_number_flagged_in_95_of_100_draws():
    """Of the threshold and of the sample together: 2,000 draws of both, of any continuous scores.

    An interval for the sample alone, around the wanted rate, holds far fewer.
    """
    rng = np.random.default_rng(0)
    n, m, rate, draws = 200, 500, 0.05, 2000
    low, high = Calibration.of(np.arange(n)).false_alarms(rate, m)
    counts = []
    for _ in range(draws):
        known = Calibration.of(rng.standard_normal(n))
        counts.append(int(known.flagged(rng.standard_normal(m), rate).sum()))
    counts = np.array(counts)
    share = np.mean((counts >= low) & (counts <= high))
    assert 0.94 < share < 0.98
    narrow = np.mean(np.abs(counts - rate * m) <= 1.96 * np.sqrt(m * rate * (1 - rate)))
    assert narrow < 0.85
    assert abs(counts.mean() / m - 10 / 201) < 0.002


def test_of_20_splits_at_least_17_flag_as_many_as_the_interval_says():
    """As benchmarks/false_alarms.py does with real images, here with drawn scores with ties."""
    held = 0
    for seed in range(20):
        scores = np.round(np.random.default_rng(seed).gamma(2.0, size=1200), 2)
        known = Calibration.of(scores[:400])
        low, high = known.false_alarms(0.05, 800)
        held += low <= known.flagged(scores[400:], 0.05).sum() <= high
    assert held >= 17
