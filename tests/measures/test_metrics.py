"""Metrics against scikit-learn, slow loops and the bootstrap."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ssl_ood.common.errors import UserError
from ssl_ood.measures import metrics

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(lambda i: i / 3), min_size=2, max_size=40)


def stacked(below, above):
    return np.r_[np.zeros(len(below)), np.ones(len(above))], np.r_[below, above]


@settings(max_examples=80, deadline=None)
@given(SCORES, SCORES)
def test_auroc_aupr_and_fpr_agree_with_scikit_learn_with_ties(below, above):
    labels, values = stacked(below, above)
    assert metrics.auroc(below, above) == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    expected = average_precision_score(labels, values)
    assert metrics.aupr(below, above) == pytest.approx(expected, abs=1e-12)
    fpr, tpr, _ = roc_curve(labels, values, drop_intermediate=False)
    assert metrics.fpr_at_tpr(below, above) == pytest.approx(fpr[tpr >= 0.95 - 1e-12].min())


def slow_placements(below, above):
    """Every pair compared."""
    wins = (np.subtract.outer(above, below) > 0) + 0.5 * (np.subtract.outer(above, below) == 0)
    return wins.mean(0), wins.mean(1)


@settings(max_examples=50, deadline=None)
@given(SCORES, SCORES)
def test_delong_agrees_with_comparing_every_pair(below, above):
    of_in, of_out = slow_placements(np.array(below), np.array(above))
    found_in, found_out = metrics.placements(below, above)
    np.testing.assert_allclose(found_in, of_in, atol=1e-12)
    np.testing.assert_allclose(found_out, of_out, atol=1e-12)
    half = 1.959964 * np.sqrt(of_in.var(ddof=1) / len(below) + of_out.var(ddof=1) / len(above))
    interval = metrics.auroc_interval(below, above)
    assert interval.low == pytest.approx(max(0, of_out.mean() - half), abs=1e-6)
    assert interval.high == pytest.approx(min(1, of_out.mean() + half), abs=1e-6)


def normal_scores(n_in=300, n_out=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, n_in), rng.normal(1, 1.3, n_out), rng.normal(0.4, 1, n_out)


def bootstrap(below, outs, times=3000):
    """2.5 % and 97.5 % quantiles of the mean AUROC over resampled images."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(times):
        b = rng.choice(below, len(below))
        values.append(np.mean([metrics.auroc(b, rng.choice(o, len(o))) for o in outs]))
    return np.quantile(values, [0.025, 0.975])


def test_delong_agrees_with_the_bootstrap():
    below, near, _ = normal_scores()
    interval = metrics.auroc_interval(below, near)
    np.testing.assert_allclose(interval[1:], bootstrap(below, [near]), atol=0.004)


def test_the_interval_of_a_mean_over_sets_agrees_with_the_bootstrap():
    below, one, two = normal_scores()
    interval = metrics.mean_auroc_interval(below, [one, two])
    expected = (metrics.auroc(below, one) + metrics.auroc(below, two)) / 2
    assert interval.value == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(interval[1:], bootstrap(below, [one, two]), atol=0.004)
    same = metrics.mean_auroc_interval(below, [one, one])  # the OOD images count as drawn twice
    assert same.high - same.low < np.diff(metrics.auroc_interval(below, one)[1:])[0]


def test_auroc_of_sixty_thousand_scores_takes_milliseconds():
    rng = np.random.default_rng(0)
    below, above = rng.normal(size=30_000), rng.normal(1, 1, 30_000)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        metrics.auroc_interval(below, above)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.2  # about 15 ms; generous for a busy machine


def test_perfect_and_reversed_order():
    assert metrics.auroc([1, 2], [3, 4]) == 1 and metrics.auroc([3, 4], [1, 2]) == 0
    assert metrics.fpr_at_tpr([1, 2], [3, 4]) == 0 and metrics.fpr_at_tpr([3, 4], [1, 2]) == 1
    assert metrics.aupr([1, 2], [3, 4]) == 1


@pytest.mark.parametrize("function", [metrics.auroc, metrics.fpr_at_tpr, metrics.aupr])
@pytest.mark.parametrize(
    ("below", "above", "words"),
    [
        ([], [1.0], "no in-distribution"),
        ([1.0], [], "no OOD"),
        ([1.0, np.nan], [1.0], "1 of 2 in-distribution scores are NaN"),
        ([1.0], [np.inf, 0.0], "1 of 2 OOD scores"),
    ],
)
def test_scores_that_cannot_be_ranked_are_a_user_error(function, below, above, words):
    with pytest.raises(UserError, match=words):
        function(below, above)


def test_occupied_soft_classes_by_hand():
    assert metrics.occupied_soft_classes([0.5, 0.3, 0.1, 0.1]) == 2
    assert metrics.occupied_soft_classes([0.25] * 4) == 0
    assert metrics.occupied_soft_classes(np.full(4096, 1 / 4096)) == 0
    assert metrics.occupied_soft_classes([1.0, 0.0, 0.0]) == 1


def test_wilson_interval_by_hand():
    interval = metrics.accuracy_interval([1] * 8 + [0] * 2, [1] * 10)
    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.4902, abs=1e-4)  # Wilson (1927), 8 of 10
    assert interval.high == pytest.approx(0.9433, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_spearman_agrees_with_scipy(points):
    x, y = zip(*points, strict=True)
    found = metrics.spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_t_interval_agrees_with_scipy():
    values = [0.81, 0.84, 0.90]
    low, high = student.interval(0.95, 2, np.mean(values), np.std(values, ddof=1) / 3**0.5)
    assert metrics.t_interval(values) == pytest.approx((np.mean(values), low, high))
    assert np.isnan(metrics.t_interval([0.8]).low)
