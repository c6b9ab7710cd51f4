"""Interpolated Gaussian descriptor: its terms, who learns by which, what it tells of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.rivals import rival
from support.similar import slow_ms_ssim

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.features import embed
from ssl_ood.evaluation.scores.reconstruction import igd as igd_score
from ssl_ood.methods.base import Moment, load_model
from ssl_ood.methods.igd import loss as igd
from ssl_ood.methods.igd.network import IgdNetwork
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train, train_step

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)
EXTENT = 4.0  # of pixels from (0 - 0.5) / 0.25 to (1 - 0.5) / 0.25
OF_AUTHORS = {
    "views": {"size": 256},
    "backbone": {"name": "resnet18", "channels": [64, 128, 256, 512], "layers": [2, 2, 2, 2]},
    "head": {"latents": 128, "width": 64},
    "training": {
        "ssim_window": 11, "ssim_scales": [0.0448, 0.2856, 0.3001, 0.2363, 0.1333],
    },
}  # fmt: skip


@given(st.integers(2, 8), st.integers(1, 5), st.integers(0, 1000))
def test_centre_and_width_are_those_of_the_latents(count, dimensions, seed):
    latents = 3 * np.random.default_rng(seed).normal(size=(count, dimensions))
    found = torch.from_numpy(latents)
    total, squares = found.sum(0), (found**2).sum()
    centre, width = igd.estimate(total, squares, torch.tensor(count, dtype=torch.float64))
    expected = latents.mean(0)
    expected[(abs(expected) < 0.1) & (expected < 0)] = -0.1
    expected[(abs(expected) < 0.1) & (expected >= 0)] = 0.1
    np.testing.assert_allclose(centre, expected)
    distances = [((z - expected) ** 2).sum() for z in latents]
    assert width.item() == pytest.approx(max(1.0, np.mean(distances)))
    described = igd.descriptor(found, centre, width)
    for z, value in zip(latents, described, strict=True):
        exponent = -((z - expected) ** 2).sum() / width.item()
        assert value.item() == pytest.approx(1 - np.exp(exponent), abs=1e-12)


def test_interpolated_latents_are_of_the_batch_in_reverse():
    latents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    found = igd.interpolated(latents, torch.tensor([[0.5], [0.25], [0.0]]))
    assert found.tolist() == [[1.5, 1.0], [0.0, 1.0], [1.0, 0.0]]


def test_a_training_s_loss_is_the_sum_of_its_terms(data):
    config = rival("igd")
    method = make_training(config, CPU).method
    network = method.network.eval()
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    loss, parts = method.loss(batch, slice(0, 8), FIRST)
    views = method.views_of(batch, slice(0, 8), "view", 0)
    with torch.no_grad():
        latents = network.latents(network.backbone(views))
        rebuilt = network.decoder(latents)
    z = latents.double().numpy()
    centre, width = network.centre.double().numpy(), network.width.item()
    x, y = views.double().numpy(), rebuilt.double().numpy()
    alike = [
        np.mean([slow_ms_ssim(x[i, c], y[i, c], 3, [0.4, 0.6], EXTENT) for c in range(3)])
        for i in range(8)
    ]
    rebuilding = 0.85 * (1 - np.mean(alike)) + 0.15 * np.abs(x - y).mean() / EXTENT
    described = np.mean(1 - np.exp(-((z - centre) ** 2).sum(1) / width))
    assert parts[:2].tolist() == pytest.approx([rebuilding, described], rel=1e-4)
    assert loss.item() == pytest.approx(
        parts[0].item() + parts[1].item() + 0.1 * parts[2].item() + parts[3].item(), rel=1e-6
    )
    clipped = np.where(abs(z.mean(0)) < 0.1, 0.1 * np.where(z.mean(0) < 0, -1, 1), z.mean(0))
    np.testing.assert_allclose(centre, clipped, rtol=1e-5)  # of the first batch, in its own step


def test_critic_and_autoencoder_learn_by_their_own_terms(data):
    """What the whole loss gives each is what its own terms alone give it."""
    config = rival("igd", backbone={"frozen": False})
    run = make_training(config, CPU)
    method, network = run.method, run.method.network
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    method.loss(batch, slice(0, 8), FIRST)[0].backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters()}

    network.zero_grad()
    network.requires_grad_(True)
    views = method.views_of(batch, slice(0, 8), "view", 0)
    share = _shares(method)
    latents = network.features(views)
    rebuilt, between = network.images(latents), network.images(igd.interpolated(latents, share))
    mixed = (0.8 * rebuilt + 0.2 * views).detach()
    of_critic = ((network.critic(between.detach()) - share[:, 0]) ** 2).mean()
    (of_critic + (network.critic(mixed) ** 2).mean()).backward()
    own = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    assert own.keys() == {n for n in found if n.startswith("critic.")}
    for name, gradient in own.items():
        np.testing.assert_allclose(found[name], gradient, atol=1e-6, rtol=1e-4)

    network.zero_grad()
    (0.1 * (network.critic(between) ** 2).mean()).backward(retain_graph=True)
    fooling = {n: p.grad.clone() for n, p in network.named_parameters() if n in ("decoder.0.bias",)}
    network.zero_grad()
    rest = igd.reconstruction(
        views, rebuilt, EXTENT, weight=0.85, window=3, scales=[0.4, 0.6]
    ).mean() + igd.descriptor(latents, network.centre, network.width).mean()  # fmt: skip
    rest.backward()
    for name, gradient in fooling.items():
        total = gradient + dict(network.named_parameters())[name].grad
        np.testing.assert_allclose(found[name], total, atol=1e-6, rtol=1e-3)


def _shares(method) -> torch.Tensor:
    from ssl_ood.common.streams import stream

    rng = stream(method.settings.seed, "interpolation", 0)
    share = rng.uniform(0, 0.5, (8, 1))
    assert (share >= 0).all() and (share <= 0.5).all()
    return torch.from_numpy(share.astype(np.float32))


def test_a_frozen_encoder_stays_as_it_starts_and_the_rest_learns(data):
    config = rival("igd", backbone={"frozen": True}, training={"epochs": 1})
    sources, run = open_sources(config, data, CPU), make_training(config, CPU)
    schedule = make_schedule(config, len(sources))
    before = {name: t.clone() for name, t in run.method.model_state().items()}
    for step in range(schedule.steps):
        train_step(run, schedule, sources.batch(step, schedule.steps_per_epoch, 8), 8)
    changed = {n for n, t in run.method.model_state().items() if not torch.equal(t, before[n])}
    assert not [name for name in changed if name.startswith("backbone.")]
    assert {"latents.weight", "decoder.0.weight", "critic.0.weight", "centre"} <= changed


def test_centre_and_width_stay_until_they_are_estimated_again(data):
    """Of three epochs the first gathers them, and the third begins with those of the second."""
    config = rival("igd", training={"epochs": 3, "descriptor_epochs": 2})
    sources, run = open_sources(config, data, CPU), make_training(config, CPU)
    schedule = make_schedule(config, len(sources))
    centres, latents = [], []
    for step in range(schedule.steps):
        batch = sources.batch(step, schedule.steps_per_epoch, 8)
        with torch.no_grad():
            views = run.method.views_of(batch, slice(0, 8), "view", step)
            kept = {n: t.clone() for n, t in run.method.network.state_dict().items()}
            latents.append(run.method.network.features(views).double())
            run.method.network.load_state_dict(kept)  # batch statistics as they were
        train_step(run, schedule, batch, 8)
        centres.append(run.method.network.centre.double().clone())
    for step in (0, 1, 2, 8):
        seen = torch.cat(latents[: step + 1] if step < 3 else latents[3:6])
        expected, _ = igd.estimate(seen.sum(0), (seen**2).sum(), torch.tensor(float(len(seen))))
        np.testing.assert_allclose(centres[step], expected, rtol=1e-5)
    assert all(torch.equal(centres[step], centres[2]) for step in (3, 4, 5))
    assert all(torch.equal(centres[step], centres[8]) for step in (6, 7))


def test_its_score_is_the_mean_of_error_and_descriptor(data, tmp_path):
    config = rival("igd")
    train(config, data, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    images = np.load(data / "shapes" / "train-16px" / "images.npy")[:6]
    found = embed(model, "igd", images, CPU)
    assert found.shape == (6, 2) and np.isfinite(found).all()
    with torch.no_grad():
        views = model.views(torch.from_numpy(images))
        z = model.network.features(views).double().numpy()
        y = model.network.images(model.network.features(views)).double().numpy()
    x, network = views.double().numpy(), model.network
    scores = igd_score(torch.from_numpy(found), torch.from_numpy(found))
    for i in range(6):
        alike = np.mean([slow_ms_ssim(x[i, c], y[i, c], 3, [0.4, 0.6], EXTENT) for c in range(3)])
        error = 0.85 * (1 - alike) + 0.15 * np.abs(x[i] - y[i]).mean() / EXTENT
        distance = ((z[i] - network.centre.double().numpy()) ** 2).sum() / network.width.item()
        expected = 0.5 * error + 0.5 * (1 - np.exp(-distance))
        assert scores[i].item() == pytest.approx(expected, rel=1e-4)


def test_the_networks_of_256_pixels_are_those_of_the_authors():
    """By hand: 4 x 4 maps of 512 channels, doubled to 8, then by blocks to 512, 256, 128 and 64
    channels, and to an image; the critic the other way round."""
    network = IgdNetwork(rival("igd", **OF_AUTHORS).options)

    def convolution(a, b, side, bias=True):
        return a * b * side**2 + (b if bias else 0)

    def block(a, b, between):
        norms = 2 * a + 2 * between
        both = convolution(a, between, 3, bias=False) + convolution(between, b, 3)
        return convolution(a, b, 1) + norms + both

    linear = 128 * 512 * 16 + 512 * 16
    blocks = [(512, 512), (512, 256), (256, 128), (128, 64)]
    decoder = linear + convolution(512, 512, 3) + sum(block(a, b, b) for a, b in blocks)
    decoder += 2 * 64 + convolution(64, 3, 5)
    critic = convolution(3, 64, 5) + sum(block(b, a, b) for a, b in blocks)
    critic += convolution(512, 512, 3) + 512 * 16 + 1
    found = [sum(p.numel() for p in m.parameters()) for m in (network.decoder, network.critic)]
    assert found == [decoder, critic]
    with torch.no_grad():
        images = network.images(torch.zeros(1, 128))
        assert images.shape == (1, 3, 256, 256) and network.critic(images).shape == (1,)


def test_what_does_not_fit_is_refused_before_planning():
    assert (
        "write 16, 32, 64, 128 or 256"
        in dict(rival("igd", views={"size": 24}).faults(24))["views.size"]
    )
    even = dict(rival("igd", training={"ssim_window": 4}).faults(24))
    assert "write an odd number" in even["training.ssim_window"]
    many = dict(rival("igd", training={"ssim_scales": [0.1] * 4}).faults(24))
    assert "need views of more than 16" in many["training.ssim_scales"]
    assert not list(rival("igd", **OF_AUTHORS).faults(24))
    with pytest.raises(UserError, match=r"frozen"):
        rival("igd", backbone={"frozen": "perhaps"})
