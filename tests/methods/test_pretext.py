"""Chapter 4's pretext tasks: losses against slow versions, what they keep, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from support.rivals import rival

from ssl_ood.methods.base import Moment
from ssl_ood.methods.byol.loss import byol_loss
from ssl_ood.methods.simsiam.loss import alike, symmetric
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train_step

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


def step_of(config, data, rows=8):
    """A method, its first batch and what its loss gives."""
    method = make_training(config, CPU).method
    batch = open_sources(config, data, CPU).batch(0, 3, rows)
    method.begin_step(batch, slice(0, rows), FIRST)
    loss, parts = method.loss(batch, slice(0, rows), FIRST)
    return method, batch, loss, parts


def views_of(method, batch):
    return [method.views_of(batch, slice(0, len(batch)), name, 0) for name in ("one", "other")]


def numpy(tensor):
    return tensor.detach().double().numpy()


# ---- BYOL and SimSiam


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_simsiam_is_scipys_cosine_distance_both_ways(data):
    method, batch, loss, parts = step_of(rival("simsiam"), data)
    z = [method.network.project(view) for view in views_of(method, batch)]
    p = [numpy(method.network.predictor(one)) for one in z]
    z = [numpy(one) for one in z]
    total = 0.0
    for i in range(8):
        total += (cosine(p[0][i], z[1][i]) - 1) / 2 + (cosine(p[1][i], z[0][i]) - 1) / 2
    assert loss.item() == pytest.approx(total / 8, rel=1e-5)
    mean = unit(np.concatenate(z)).mean(0)
    assert parts.item() == pytest.approx(mean @ mean, rel=1e-5)


def test_byol_is_the_squared_distance_to_the_targets_unit_vectors(data):
    method, batch, _, _ = step_of(rival("byol"), data)
    with torch.no_grad():  # a target that is not the online network
        for parameter in method.target.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    loss, _ = method.loss(batch, slice(0, 8), FIRST)
    views = views_of(method, batch)
    q = [unit(numpy(method.network.predictor(method.network.project(v)))) for v in views]
    z = [unit(numpy(method.target.project(v))) for v in views]
    expected = ((q[0] - z[1]) ** 2).sum(1).mean() + ((q[1] - z[0]) ** 2).sum(1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_no_gradient_reaches_a_target():
    torch.manual_seed(0)
    p, z = ([torch.randn(4, 3, requires_grad=True) for _ in range(2)] for _ in range(2))
    for loss in (symmetric, byol_loss):
        loss(p, z).backward()
        assert all(one.grad is None for one in z) and all(one.grad.any() for one in p)
    assert byol_loss(p, p).item() <= 8 and byol_loss([z[0]] * 2, [z[0]] * 2).item() < 1e-5


def test_likeness_is_1_where_all_are_the_same_and_little_where_none_are():
    assert alike(torch.ones(5, 3)).item() == pytest.approx(1)
    assert alike(torch.cat([torch.eye(3), -torch.eye(3)])).item() == pytest.approx(0)


def test_the_target_of_byol_follows_at_its_momentum(data):
    config = rival("byol")
    run, sources = make_training(config, CPU), open_sources(config, data, CPU)
    before = [p.clone() for p in run.method.target.parameters()]
    schedule = make_schedule(config, len(sources))
    train_step(run, schedule, sources.batch(0, 3, 8), 8)
    momentum = schedule.moment(0).momentum
    after = zip(run.method.network.parameters(), run.method.target.parameters(), strict=True)
    for old, (online, target) in zip(before, after, strict=True):
        expected = momentum * old + (1 - momentum) * online
        np.testing.assert_allclose(target, expected.detach(), atol=1e-6)
    assert momentum == pytest.approx(0.9) and schedule.moment(8).momentum > 0.99
