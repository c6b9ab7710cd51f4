"""Chapter 4's pretext tasks: losses against slow versions, what they keep, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine
from support.rivals import rival

from ssl_ood.methods.base import Moment
from ssl_ood.methods.byol.loss import byol_loss
from ssl_ood.methods.npid.loss import nce_loss
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


# ---- NPID


def slow_nce(own, noise, normaliser, images):
    """Equations 4.6, 4.8 and 4.9 as they are printed, pair by pair; own, noise: cosines / T."""
    drawn = 1 / (images - 1)  # P_n, of each other image
    total = 0.0
    for mine, others in zip(own, noise, strict=True):
        p = np.exp(mine) / normaliser
        total -= np.log(p / (p + len(others) * drawn))
        for other in others:
            p = np.exp(other) / normaliser
            total -= np.log(1 - p / (p + len(others) * drawn))
    return total / len(own)


@given(st.integers(1, 5), st.integers(1, 9), st.floats(1, 1000), st.integers(0, 1000))
def test_nce_is_the_thesiss_sum(batch, count, normaliser, seed):
    rng = np.random.default_rng(seed)
    own, noise = rng.uniform(-5, 5, batch), rng.uniform(-5, 5, (batch, count))
    tensors = (torch.from_numpy(x) for x in (own, noise, np.asarray(np.log(normaliser))))
    found = nce_loss(*tensors, images=20).item()
    assert found == pytest.approx(slow_nce(own, noise, normaliser, 20), rel=1e-9)
    assert found >= 0


def npid_step(config, data):
    """The first step of a training: the method before it and after it, its batch and its loss."""
    run, sources = make_training(config, CPU), open_sources(config, data, CPU)
    batch = sources.batch(0, 3, 8)
    run.method.begin_step(batch, slice(0, 8), FIRST)
    memory = run.method.memory.clone()
    loss, _ = run.method.loss(batch, slice(0, 8), FIRST)
    return run.method, memory, batch, loss


def test_npid_tells_images_of_the_batch_from_others_in_the_memory(data):
    """All others as noise: by hand from the memory, with Z of the first batch."""
    method, memory, batch, loss = npid_step(rival("npid", training={"noise": 0}), data)
    assert memory.shape == (24, 8) and torch.allclose(memory.norm(dim=1), torch.ones(24))
    vectors = method.network(method.views_of(batch, slice(0, 8), "view", 0)).detach().double()
    similar = (vectors @ memory.double().T / 0.2).numpy()
    normaliser = 24 * np.exp(similar).mean()
    places = batch.places
    own = similar[np.arange(8), places]
    noise = np.stack([np.delete(row, place) for row, place in zip(similar, places, strict=True)])
    assert loss.item() == pytest.approx(slow_nce(own, noise, normaliser, 24), rel=1e-4)
    assert method.log_normaliser.item() == pytest.approx(np.log(normaliser), rel=1e-5)
    method.end_step(FIRST)
    moved = unit(0.5 * memory.numpy()[places] + 0.5 * vectors.numpy())
    np.testing.assert_allclose(method.memory[places], moved, atol=1e-5)
    others = np.setdiff1d(np.arange(24), places)
    assert torch.equal(method.memory[others], memory[others])


def test_noise_is_never_the_image_itself_and_always_another_of_all(data):
    method, _, batch, _ = npid_step(rival("npid", training={"noise": 20}), data)
    places = torch.from_numpy(batch.places.copy())[:, None]
    drawn = torch.cat([method._noise(batch, places, step) for step in range(40)], dim=1)
    for row, own in zip(drawn, places[:, 0], strict=True):
        counts = torch.bincount(row, minlength=24)
        assert counts[own] == 0 and (counts > 0).sum() == 23
    every = make_training(rival("npid", training={"noise": 0}), CPU).method
    found = every._noise(batch, places, 0)
    assert all(sorted([*row, own]) == list(range(24)) for row, own in
               zip(found.tolist(), places[:, 0].tolist(), strict=True))  # fmt: skip


def test_more_noise_than_there_are_others_is_refused_before_planning():
    faults = dict(rival("npid", training={"noise": 24}).faults(24))
    assert "24 is more than the 23 other images" in faults["training.noise"]
    assert not list(rival("npid", training={"noise": 23}).faults(24))
