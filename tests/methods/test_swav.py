"""SwAV: assignments and loss against slow versions, what is frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import Moment
from ssl_ood.methods.swav.loss import assignments, swapped_loss
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train_step

CPU = torch.device("cpu")


def slow_assignments(scores, epsilon, rounds):
    """Algorithm 1 of the paper: exponentials, scaled by rows and columns in turn."""
    q = np.exp(scores / epsilon).T
    k, b = q.shape
    q /= q.sum()
    for _ in range(rounds):
        for row in range(k):
            q[row] /= q[row].sum() * k
        for column in range(b):
            q[:, column] /= q[:, column].sum() * b
    return (q * b).T


@given(st.integers(2, 8), st.integers(2, 6), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_assignments_are_those_of_the_papers_algorithm(images, prototypes, rounds, seed):
    scores = np.random.default_rng(seed).uniform(-1, 1, (images, prototypes))
    found = assignments(torch.from_numpy(scores), 0.2, rounds).numpy()
    np.testing.assert_allclose(found, slow_assignments(scores, 0.2, rounds), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_every_prototype_is_used_equally_in_the_end():
    torch.manual_seed(0)
    scores = torch.randn(12, 4) + torch.tensor([3.0, 0, 0, 0])  # all are near the first
    np.testing.assert_allclose(assignments(scores, 0.5, 200).sum(0), 3, rtol=1e-3)


def test_the_loss_is_the_swapped_cross_entropy():
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, (2, 6, 4))
    codes = [slow_assignments(one, 0.05, 3) for one in scores]
    logs = [one / 0.1 - np.log(np.exp(one / 0.1).sum(1, keepdims=True)) for one in scores]
    expected = -((codes[0] * logs[1]).sum(1).mean() + (codes[1] * logs[0]).sum(1).mean()) / 2
    views = [torch.from_numpy(one).requires_grad_() for one in scores]
    loss = swapped_loss(*views, 0.1, (0.05, 3))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    # Of the cross-entropy alone, softmax minus the other view's code: no gradient of the code.
    for view, one, code in zip(views, logs, reversed(codes), strict=True):
        np.testing.assert_allclose(view.grad, (np.exp(one) - code) / 0.1 / 6 / 2, atol=1e-4)


def test_a_step_uses_cosines_with_prototypes_which_are_frozen_at_first(data):
    config = rival("swav")
    run, sources = make_training(config, CPU), open_sources(config, data, CPU)
    network = run.method.network
    batch = sources.batch(0, 3, 8)
    loss, used = run.method.loss(batch, slice(0, 8), Moment(0, 0, 1.0, 1.0))
    cosines = []
    for name in ("one", "other"):
        vectors = network.projector(
            network.features(run.method.views_of(batch, slice(0, 8), name, 0))
        )
        v, c = (x.detach().double().numpy() for x in (vectors, network.prototypes))
        cosines.append(v @ c.T / np.outer(np.linalg.norm(v, axis=1), np.linalg.norm(c, axis=1)))
    expected = swapped_loss(*map(torch.from_numpy, cosines), 0.1, (0.05, 3)).item()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert used.item() == pytest.approx(len(set(np.concatenate(cosines).argmax(1))) / 6)
    schedule = make_schedule(config, len(sources))
    before = network.prototypes.detach().clone()
    for step in range(3):
        train_step(run, schedule, sources.batch(step, 3, 8), 8)
    assert torch.equal(network.prototypes, before)  # frozen for an epoch
    train_step(run, schedule, sources.batch(3, 3, 8), 8)
    assert not torch.equal(network.prototypes, before)


def test_one_prototype_is_refused():
    with pytest.raises(UserError, match="prototypes"):
        rival("swav", head={"prototypes": 1})
