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


def two_models(rng, images=(60, 50), shared=0.8):
    """Scores of two models that agree in part, on the same images; two OOD sets."""

    def draw(count, shift):
        common = rng.standard_normal(count)
        return [shared * common + 0.6 * rng.standard_normal(count) + s for s in shift]

    inside = draw(images[0], (0, 0))
    outside = [draw(images[1], (0.8, 0.6)), draw(images[1] + 7, (0.4, 0.5))]
    return [metrics.ModelScores(inside[m], [out[m] for out in outside]) for m in (0, 1)]


def test_the_difference_of_two_models_is_that_of_their_aurocs():
    one, other = two_models(np.random.default_rng(0))
    found = metrics.auroc_difference(one, other)
    means = [np.mean([metrics.auroc(m.in_scores, out) for out in m.out_sets]) for m in (one, other)]
    assert found.value == pytest.approx(means[0] - means[1])
    assert metrics.auroc_difference(one, one) == pytest.approx((0, 0, 0))


def test_its_interval_is_that_of_a_bootstrap_over_images():
    """Images are drawn again for both models alike; 4,000 times."""
    rng = np.random.default_rng(1)
    one, other = two_models(rng, (150, 120))
    found = metrics.auroc_difference(one, other)
    n_in, n_out = len(one.in_scores), [len(out) for out in one.out_sets]
    draws = []
    for _ in range(4000):
        rows, cols = rng.integers(0, n_in, n_in), [rng.integers(0, n, n) for n in n_out]
        values = [
            np.mean([metrics.auroc(m.in_scores[rows], out[c])
                     for out, c in zip(m.out_sets, cols, strict=True)])
            for m in (one, other)
        ]  # fmt: skip
        draws.append(values[0] - values[1])
    deviation = (found.high - found.low) / 2 / 1.959964
    assert deviation == pytest.approx(np.std(draws), rel=0.06)


def test_a_mean_difference_over_pairs_is_that_of_a_bootstrap_over_images():
    """Two pairs of models that all have scored the same images; 2,000 times."""
    rng = np.random.default_rng(5)
    pairs = [two_models(np.random.default_rng(seed), (120, 100)) for seed in (6, 7)]
    found = metrics.mean_auroc_difference(pairs)
    alone = [metrics.auroc_difference(*pair) for pair in pairs]
    assert found.value == pytest.approx(np.mean([one.value for one in alone]))
    n_in, n_out = 120, [len(out) for out in pairs[0][0].out_sets]
    draws = []
    for _ in range(2000):
        rows, cols = rng.integers(0, n_in, n_in), [rng.integers(0, n, n) for n in n_out]
        means = [
            [np.mean([metrics.auroc(m.in_scores[rows], out[c])
                      for out, c in zip(m.out_sets, cols, strict=True)]) for m in pair]
            for pair in pairs
        ]  # fmt: skip
        draws.append(np.mean([one - other for one, other in means]))
    deviation = (found.high - found.low) / 2 / 1.959964
    assert deviation == pytest.approx(np.std(draws), rel=0.08)
    doubled = metrics.mean_auroc_difference([pairs[0], pairs[0]])
    assert doubled == pytest.approx(alone[0])  # a pair that is there twice is not two


def test_a_difference_is_surer_than_two_intervals_where_models_agree():
    one, other = two_models(np.random.default_rng(2), (300, 300), shared=3.0)
    found = metrics.auroc_difference(one, other)
    apart = [metrics.mean_auroc_interval(m.in_scores, m.out_sets) for m in (one, other)]
    alone = np.hypot(*(interval.high - interval.low for interval in apart))
    assert found.high - found.low < 0.5 * alone


def test_models_of_other_images_are_not_compared():
    one, other = two_models(np.random.default_rng(3))
    with pytest.raises(UserError, match="other numbers of images"):
        metrics.auroc_difference(one, other._replace(in_scores=other.in_scores[1:]))


def test_the_contrast_of_two_sets_is_that_of_a_bootstrap():
    rng = np.random.default_rng(4)
    inside, near, far = rng.standard_normal(150), rng.standard_normal(120) + 0.3, \
        rng.standard_normal(90) + 1.2  # fmt: skip
    found = metrics.auroc_contrast(inside, far, near)
    assert found.value == pytest.approx(metrics.auroc(inside, far) - metrics.auroc(inside, near))
    draws = []
    for _ in range(4000):
        a, b, c = (x[rng.integers(0, len(x), len(x))] for x in (inside, far, near))
        draws.append(metrics.auroc(a, b) - metrics.auroc(a, c))
    deviation = (found.high - found.low) / 2 / 1.959964
    assert deviation == pytest.approx(np.std(draws), rel=0.06)


def test_the_difference_of_two_accuracies_by_hand():
    labels = np.array([0, 1, 2, 3])
    found = metrics.accuracy_difference([0, 1, 2, 0], [0, 0, 0, 0], labels)
    # Right and wrong by image: 0, 1, 1, 0; their variance is 1/3, of the mean 1/12.
    half = 1.959964 * np.sqrt(1 / 12)
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-6)


@pytest.mark.parametrize(("rho", "n"), [(0.8, 10), (-0.3, 30), (1.0, 9)])
def test_the_limits_of_a_rank_correlation_by_hand(rho, n):
    low, high = metrics.spearman_limits(rho, n)
    if rho == 1.0:
        assert 0.99 < low <= high <= 1
        return
    z, half = 0.5 * np.log((1 + rho) / (1 - rho)), 1.959964 * np.sqrt(1.06 / (n - 3))
    expected = [np.tanh(z - half), np.tanh(z + half)]
    assert [low, high] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(metrics.spearman_limits(rho, 3)).all()
