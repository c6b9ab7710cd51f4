"""Scores against slow float64 NumPy, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis as scipy_mahalanobis
from sklearn.neighbors import KNeighborsClassifier

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import entries
from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation.score_columns import column_name, split_column
from ssl_ood.evaluation.scores.cosine import cosine_max, cosine_tau, halving_ladders
from ssl_ood.evaluation.scores.mahalanobis import SMALLEST_RIDGE, mahalanobis
from ssl_ood.evaluation.scoring import Evidence, compute_scores
from ssl_ood.measures.knn import knn_votes, nearest
from ssl_ood.measures.sensitivity import sensitivity_split
from ssl_ood.study.settings import Evaluation

TAUS = [0.02, 0.04, 0.08]
OF_FEATURES = [e.name for e in entries("score") if e.needs == {"features"}]


def evaluation_of(scores: list[str], **changes) -> Evaluation:
    """How scores are computed, typed as the config is."""
    plain = {
        "precision": "float32", "scores": scores, "tau": 0.04, "taus": TAUS, "knn": 10,
        "knn_temperature": 0.04, "soft_class_temperature": 0.01, "confidence": 0.95,
        "sensitivity": {"max_share": 0.2},
    }  # fmt: skip
    return read_settings(Evaluation, plain | changes, "evaluation")


def features(n: int, d: int, seed: int, spread: float = 0.3) -> np.ndarray:
    """Features around one direction, as trained ones are, of many lengths."""
    rng = np.random.default_rng(seed)
    points = np.ones(d) / np.sqrt(d) + spread * rng.standard_normal((n, d))
    return (points * rng.uniform(0.1, 30, (n, 1))).astype(np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)


def equation_6_1(test: np.ndarray, train: np.ndarray, tau: float) -> np.ndarray:
    """The thesis's score, one image after another."""
    out = []
    for f in unit(test):
        total = 0.0
        for g in unit(train):
            total += np.exp(f @ g / tau)
        out.append(-total / len(train))
    return np.array(out)


@pytest.mark.parametrize("block", [(7, 5), (1024, 4096)])
def test_cosine_tau_is_the_logarithm_of_equation_6_1(block):
    test, train = features(40, 12, 0), features(60, 12, 1)
    found = cosine_tau(torch.tensor(test), torch.tensor(train), TAUS, block).numpy()
    assert found.shape == (40, 3)
    for t, tau in enumerate(TAUS):
        expected = equation_6_1(test, train, tau)
        np.testing.assert_allclose(found[:, t], -np.log(-expected), atol=2e-5)
        assert (np.argsort(found[:, t]) == np.argsort(expected)).all()


def cosine_tau_in_double(test, train, taus):
    """Equation 6.1 in the log domain, all similarities at once, float64."""
    cosines = unit(test) @ unit(train).T
    out = []
    for tau in taus:
        top = cosines.max(1)
        sums = np.exp((cosines - top[:, None]) / tau).mean(1)
        out.append(-np.log(sums) - top / tau)
    return np.stack(out, axis=1)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0.005, 2.0), min_size=1, max_size=8),
    st.integers(0, 1000),
    st.sampled_from([(7, 5), (16, 33), (1024, 4096)]),
    st.floats(0.01, 3.0),
)
def test_cosine_tau_is_float32_exact_for_any_temperatures(taus, seed, block, spread):
    """A cosine is off by a few 1e-7 in float32, and 1 / tau times as much in the score."""
    taus = [
        *taus,
        taus[0] / 2,
        taus[0] / 4,
        taus[0],
    ]  # terms that are squares of others', and equal
    test, train = features(20, 16, seed, spread), features(50, 16, seed + 1, spread)
    found = cosine_tau(torch.tensor(test), torch.tensor(train), taus, block).numpy()
    expected = cosine_tau_in_double(test, train, taus)
    allowed = 1e-6 / np.array(taus) + 2e-6
    assert (np.abs(found - expected) <= allowed).all()


def test_halved_temperatures_are_squared_and_none_is_lost():
    taus = [0.02 + 0.005 * i for i in range(13)]
    ladders = halving_ladders(taus)
    assert sorted(t for ladder in ladders for t in ladder) == list(range(13))
    named = [[round(taus[t], 3) for t in ladder] for ladder in ladders if len(ladder) > 1]
    assert named == [[0.08, 0.04, 0.02], [0.07, 0.035], [0.06, 0.03], [0.05, 0.025]]
    assert len(ladders) == 8


def test_cosine_tau_survives_a_temperature_at_which_the_exponential_overflows():
    test, train = features(20, 8, 0), features(30, 8, 1)
    (found,) = cosine_tau(torch.tensor(test), torch.tensor(train), [1e-4]).numpy().T
    closest = (unit(test) @ unit(train).T).max(1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found * 1e-4, -closest, atol=1e-3)


def test_cosine_tau_refuses_a_temperature_of_zero():
    x = torch.ones(2, 3)
    with pytest.raises(UserError, match="above 0"):
        cosine_tau(x, x, [0.04, 0.0])


def test_cosine_max_is_equation_7_2():
    test, train = features(30, 9, 2), features(5000, 9, 3)
    found = cosine_max(torch.tensor(test), torch.tensor(train)).numpy()
    expected = [-max(np.exp(f @ g) for g in unit(train)) for f in unit(test)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_mahalanobis_agrees_with_scipy():
    test, train = features(25, 10, 4), features(200, 10, 5)
    found = mahalanobis(torch.tensor(test), torch.tensor(train)).numpy()
    mean, inverse = unit(train).mean(0), np.linalg.inv(np.cov(unit(train).T))
    expected = [scipy_mahalanobis(f, mean, inverse) ** 2 for f in unit(test)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_mahalanobis_of_more_dimensions_than_images_uses_the_smallest_ridge():
    test, train = features(15, 40, 6), features(30, 40, 7)
    found = mahalanobis(torch.tensor(test), torch.tensor(train)).numpy()
    covariance = np.cov(unit(train).T)
    ridge = SMALLEST_RIDGE * np.trace(covariance) / 40
    inverse = np.linalg.inv(covariance + ridge * np.eye(40))
    expected = [scipy_mahalanobis(f, unit(train).mean(0), inverse) ** 2 for f in unit(test)]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_mahalanobis_with_a_dead_dimension_is_that_without_it():
    test, train = features(15, 6, 8), features(80, 6, 9)
    dead_test, dead_train = test.copy(), train.copy()
    dead_test[:, 2] = dead_train[:, 2] = 0
    alive = [0, 1, 3, 4, 5]
    found = mahalanobis(torch.tensor(dead_test), torch.tensor(dead_train))
    expected = mahalanobis(torch.tensor(test[:, alive]), torch.tensor(train[:, alive]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_mahalanobis_of_equal_training_features_is_refused():
    with pytest.raises(UserError, match="equal"):
        mahalanobis(torch.ones(3, 4), torch.ones(5, 4))


def test_scores_do_not_depend_on_the_length_of_features():
    test, train = torch.tensor(features(20, 8, 10)), torch.tensor(features(50, 8, 11))
    evaluation = evaluation_of(OF_FEATURES)
    scaled = compute_scores(Evidence(7 * test, 0.2 * train), evaluation)
    for column, values in compute_scores(Evidence(test, train), evaluation).items():
        np.testing.assert_allclose(values, scaled[column], rtol=1e-4, err_msg=column)


def test_an_image_far_from_training_scores_higher_whatever_the_score():
    train = torch.tensor(features(200, 8, 12, spread=0.05))
    test = torch.cat([train[:1], -train[:1]])
    for column, values in compute_scores(Evidence(test, train), evaluation_of(OF_FEATURES)).items():
        assert values[1] > values[0], column


def test_an_unknown_score_is_named():
    with pytest.raises(UserError, match="cosine_min"):
        compute_scores(Evidence(torch.ones(1, 2), torch.ones(2, 2)), evaluation_of(["cosine_min"]))


@pytest.mark.parametrize("k", [1, 10])
def test_knn_agrees_with_scikit_learn(k):
    train, test = features(9000, 6, 13), features(200, 6, 14)
    labels = np.random.default_rng(0).integers(0, 4, 9000)
    similarities, where = nearest(torch.tensor(test), torch.tensor(train), k)
    expected = KNeighborsClassifier(k, metric="cosine").fit(train, labels)
    distances, neighbours = expected.kneighbors(test)
    np.testing.assert_allclose(1 - similarities.numpy(), distances, atol=1e-5)
    assert (np.sort(where.numpy()) == np.sort(neighbours)).mean() > 0.999  # float32 ties
    votes = labels[where.numpy()]
    found = knn_votes(similarities, torch.tensor(votes), 4).numpy()
    counts = np.stack([(votes == c).sum(1) for c in range(4)], axis=1)
    clear = np.sort(counts, axis=1)[:, -1] > np.sort(counts, axis=1)[:, -2]
    same = (np.sort(where.numpy()) == np.sort(neighbours)).all(1)
    assert clear.sum() > 50
    assert (found == expected.predict(test))[clear & same].all()


def test_a_tie_of_votes_goes_to_the_label_of_the_nearest_neighbour():
    labels = torch.tensor([[2, 0, 0, 2], [1, 2, 2, 0], [0, 1, 2, 3]])
    similarities = torch.tensor([[0.9, 0.8, 0.7, 0.6]] * 3)
    assert knn_votes(similarities, labels, 4).tolist() == [2, 2, 0]


def test_the_weighted_vote_weighs_by_similarity():
    labels = torch.tensor([[1, 0, 0]])
    similarities = torch.tensor([[1.0, 0.8, 0.8]])
    weights = np.exp(np.array([1.0, 0.8, 0.8]) / 0.07)
    assert weights[0] > weights[1:].sum()
    assert knn_votes(similarities, labels, 2).tolist() == [0]
    assert knn_votes(similarities, labels, 2, temperature=0.07).tolist() == [1]
    assert knn_votes(similarities, labels, 2, temperature=10.0).tolist() == [0]


def test_more_neighbours_than_training_images_is_a_user_error():
    with pytest.raises(UserError, match="evaluation\\.knn"):
        nearest(torch.ones(2, 3), torch.ones(4, 3), 5)


def test_sensitivity_split_parts_the_training_set():
    held, reference = sensitivity_split(100, 15, 0.2, seed=3)
    assert len(held) == 15 and len(reference) == 85
    assert sorted([*held, *reference]) == list(range(100))
    again, _ = sensitivity_split(100, 15, 0.2, seed=3)
    other, _ = sensitivity_split(100, 15, 0.2, seed=4)
    assert (held == again).all() and (held != other).any()
    assert len(sensitivity_split(100, 60, 0.2, seed=3)[0]) == 20


def test_sensitivity_split_of_too_few_images_is_a_user_error():
    with pytest.raises(UserError, match="max_share"):
        sensitivity_split(4, 10, 0.2, seed=0)


@pytest.mark.parametrize("tau", [0.04, 0.02, 0.0755, 1.0])
def test_column_names_give_the_temperature_back(tau):
    name = column_name("cosine_tau", tau)
    assert split_column(name) == ("cosine_tau", tau)
    assert column_name("cosine_tau", 0.04) == "cosine_tau@0.040"
    assert split_column("mahalanobis") == ("mahalanobis", None)


def test_the_logit_is_the_feature_itself_whatever_the_training_set():
    outputs = np.array([[-3.5], [0.25], [7.0]], dtype=np.float32)
    evaluation = evaluation_of(["logit"])
    for train in (torch.zeros(4, 1), torch.ones(9, 1)):
        found = compute_scores(
            Evidence(torch.tensor(outputs), train, logits=torch.tensor(outputs)), evaluation
        )
        assert list(found) == ["logit"] and found["logit"].dtype == np.float64
        assert found["logit"].tolist() == [-3.5, 0.25, 7.0]


def test_the_logit_of_features_that_are_none_is_a_user_error():
    with pytest.raises(UserError, match="not finetune"):
        logits = torch.ones(3, 8)
        compute_scores(Evidence(logits, torch.ones(4, 8), logits=logits), evaluation_of(["logit"]))
