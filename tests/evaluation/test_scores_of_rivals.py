"""Scores of classifiers and contrastive methods against NumPy, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.scores.classifiers import (
    geometric,
    mahalanobis_classes,
    msp,
    rotation_likelihood,
)
from ssl_ood.evaluation.scores.contrastive import csi, ssd


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.integers(1, 8), st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_msp_is_1_minus_the_largest_probability(n, k, seed):
    logits = drawn(n, k, seed=seed)
    scores = msp(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(scores, 1 - softmax(logits.astype(float), axis=1).max(1), atol=1e-12)
    assert (scores >= 0).all() and (scores <= 1 - 1 / k + 1e-12).all()


def test_mahalanobis_of_classes_is_scipys_of_the_nearest():
    train, test = drawn(60, 4), drawn(7, 4, seed=1)
    labels = np.array([4, 7, 9])[np.arange(60) % 3]
    train += labels[:, None]
    means = {c: train[labels == c].mean(0) for c in (4, 7, 9)}
    centred = np.stack([row - means[c] for row, c in zip(train, labels, strict=True)])
    inverse = np.linalg.inv(centred.T.astype(float) @ centred / 59)
    expected = [min(mahalanobis(t, m, inverse) ** 2 for m in means.values()) for t in test]
    arguments = map(torch.from_numpy, (test, train, labels))
    np.testing.assert_allclose(mahalanobis_classes(*arguments), expected, rtol=1e-4)
    # scikit-learn's classifier by the same model chooses the class whose mean is nearest.
    chosen = LinearDiscriminantAnalysis(priors=[1 / 3] * 3).fit(train, labels).predict(test)
    nearest = [min(means, key=lambda c: mahalanobis(t, means[c], inverse)) for t in test]
    assert chosen.tolist() == nearest


def test_mahalanobis_of_classes_needs_labels():
    features = torch.from_numpy(drawn(6, 2))
    with pytest.raises(UserError, match="needs the label of every training image"):
        mahalanobis_classes(features, features, torch.tensor([0, 1, -1, 0, 1, 0]))


def test_scores_of_rotations_by_hand():
    logits = drawn(5, 4, 4)
    classes = drawn(5, 3, seed=2)
    p = softmax(logits.astype(float), axis=2)
    told = np.stack([p[:, r, r] for r in range(4)], 1)
    scores = rotation_likelihood(torch.from_numpy(logits), None)
    np.testing.assert_allclose(scores, -np.log(told).mean(1), rtol=1e-6)
    q = softmax(classes.astype(float), axis=1)
    by_class = [-entropy(np.full(3, 1 / 3), row, base=2) for row in q]
    one_hot = [np.mean([entropy(np.eye(4)[r], row[r], base=2) for r in range(4)]) for row in p]
    scores = geometric(torch.from_numpy(logits), None, torch.from_numpy(classes))
    np.testing.assert_allclose(scores, np.add(by_class, one_hot), rtol=1e-6)


def test_ssd_of_one_cluster_is_scikit_learns_covariance():
    train, test = drawn(80, 5), drawn(9, 5, seed=3)
    normed, of_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    scaled = (normed - normed.mean(0)) / normed.std(0)
    expected = (
        EmpiricalCovariance().fit(scaled).mahalanobis((of_test - normed.mean(0)) / normed.std(0))
    )
    scores = ssd(torch.from_numpy(test), torch.from_numpy(train), clusters=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_ssd_of_clusters_takes_the_nearest_of_k_means():
    groups = np.repeat(np.eye(3, dtype=np.float32) * 4, 30, axis=0)
    train, test = groups + 0.3 * drawn(90, 3), groups[::30] + 0.3 * drawn(3, 3, seed=5)
    normed, of_test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    mean, deviation = normed.mean(0), normed.std(0)
    normed, of_test = (normed - mean) / deviation, (of_test - mean) / deviation
    parts = KMeans(3, n_init=1, random_state=0).fit_predict(normed)
    fits = [EmpiricalCovariance().fit(normed[parts == c]) for c in range(3)]
    expected = np.min([fit.mahalanobis(of_test) for fit in fits], axis=0)
    scores = ssd(torch.from_numpy(test), torch.from_numpy(train), clusters=3)
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


def test_a_cluster_of_one_image_is_refused():
    train = torch.eye(3)
    with pytest.raises(UserError, match=r"lower evaluation\.parameters\.ssd\.clusters"):
        ssd(train, train, clusters=3)


def test_csi_by_hand():
    """As the paper's appendix has it, image by image, with weights from the training images."""
    test, train = drawn(6, 4, 8), drawn(15, 4, 8, seed=7)
    train[:, :, 4:] += 2  # logits of a trained network are positive in the mean
    expected = []
    for image in test.astype(float):
        score = 0.0
        for r in range(4):
            z, known = image[r, :4], train[:, r, :4].astype(float)
            axes = known / np.linalg.norm(known, axis=1, keepdims=True)
            norm = np.linalg.norm(known, axis=1).mean()
            score += (axes @ z).max() / norm + image[r, 4 + r] / train[:, r, 4 + r].mean()
        expected.append(-score / 4)
    scores = csi(torch.from_numpy(test), torch.from_numpy(train))
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
