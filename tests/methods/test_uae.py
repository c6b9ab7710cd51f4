"""The uncertainty-predicting autoencoder: its loss and scores against SciPy, what it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.evaluation.features import embed
from ssl_ood.evaluation.scores.reconstruction import squared_error, uncertain_error
from ssl_ood.methods.base import Moment, load_model
from ssl_ood.methods.uae.loss import errors, uncertain_loss
from ssl_ood.methods.uae.method import UaeNetwork, grey
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train, train_step

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


def drawn(*shape):
    return [torch.randn(shape, dtype=torch.float64) for _ in range(3)]


def test_the_loss_is_twice_the_negative_log_density_of_scipy():
    torch.manual_seed(0)
    images, mean, log_variance = drawn(3, 1, 4, 4)
    density = norm.logpdf(images, mean, (log_variance / 2).exp())
    expected = -2 * density.mean() - np.log(2 * np.pi)
    assert uncertain_loss(images, mean, log_variance).item() == pytest.approx(expected, rel=1e-12)


def test_the_best_variance_is_the_squared_error():
    """Where the error is known, log variance = log error minimises the loss."""
    torch.manual_seed(1)
    images, mean, _ = drawn(2, 1, 4, 4)
    log_variance = torch.zeros_like(images, requires_grad=True)
    with torch.no_grad():
        log_variance.copy_(((images - mean) ** 2).log())
    uncertain_loss(images, mean, log_variance).backward()
    np.testing.assert_allclose(log_variance.grad, 0, atol=1e-12)
    weighted, _ = errors(images, mean, log_variance.detach())
    np.testing.assert_allclose(weighted, 1, rtol=1e-12)


def test_errors_are_means_over_the_pixels_of_each_image():
    torch.manual_seed(2)
    images, mean, log_variance = drawn(5, 1, 3, 3)
    found = errors(images, mean, log_variance)
    for i in range(5):
        x, m, v = (t[i, 0].numpy() for t in (images, mean, log_variance))
        assert found[0][i].item() == pytest.approx(((x - m) ** 2 / np.exp(v)).mean())
        assert found[1][i].item() == pytest.approx(((x - m) ** 2).mean())
    scored = torch.stack(found, dim=1)
    assert torch.equal(uncertain_error(scored, scored), found[0])
    assert torch.equal(squared_error(scored, scored), found[1])


def test_a_training_is_on_grey_whole_images_and_counts_the_error_beside(data):
    run = make_training(rival("uae"), CPU)
    run.method.network.eval()
    batch = open_sources(rival("uae"), data, CPU).batch(0, 3, 8)
    loss, parts = run.method.loss(batch, slice(0, 8), FIRST)
    shown = batch.images.double().mean(3)[:, None] / 255
    images = (shown.numpy() - 0.5) / 0.25
    colours = np.repeat(images, 3, 1).astype(np.float32)  # what is grey already is left as it is
    with torch.no_grad():
        mean, log_variance = run.method.network(torch.from_numpy(colours))
    density = norm.logpdf(images, mean, np.exp(log_variance.double().numpy() / 2))
    assert loss.item() == pytest.approx(-2 * density.mean() - np.log(2 * np.pi), rel=1e-4)
    assert parts.item() == pytest.approx(((images - mean.numpy()) ** 2).mean(), rel=1e-4)


def test_the_network_is_that_of_the_authors():
    """By hand: 4 x 4 convolutions 1-64-128-256-256 and back, no biases, their norms; 4 x 4 maps of
    256 channels to 2048 and 16 numbers and back; two outputs for every pixel."""
    config = rival("uae", views={"size": 64}, backbone={"width": 64, "hidden": 2048, "latents": 16})
    network = UaeNetwork(config.options)
    convolutions = 16 * (1 * 64 + 64 * 128 + 128 * 256 + 256 * 256)
    back = 16 * (256 * 256 + 256 * 128 + 128 * 64 + 64 * 2)
    norms = 2 * (64 + 128 + 256 + 256) + 2 * (256 + 128 + 64) + 2 * 2 * 2048
    linear = 4096 * 2048 + 2048 + 2048 * 16 + 16 + 16 * 2048 + 2048 + 2048 * 4096 + 4096
    expected = convolutions + back + norms + linear
    assert sum(p.numel() for p in network.parameters()) == expected
    mean, log_variance = network(torch.zeros(2, 3, 64, 64))
    assert mean.shape == log_variance.shape == (2, 1, 64, 64)


def test_it_learns_and_its_scores_are_those_of_the_images(data, tmp_path):
    """Noise, which no training image is, is reconstructed worse."""
    config = rival("uae", training={"epochs": 40})
    sources, run = open_sources(config, data, CPU), make_training(config, CPU)
    schedule = make_schedule(config, len(sources))
    told = []
    for step in range(schedule.steps):
        train_step(run, schedule, sources.batch(step, schedule.steps_per_epoch, 8), 8)
        told.append(run.sums.tolist())
        run.sums.zero_()
    assert np.mean([error for _, error, _ in told[-6:]]) < 0.6 * told[0][1]
    train(config, data, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    weights = tmp_path / "run" / "model.safetensors"
    kept = load_tensors(weights)[0]
    assert all(torch.equal(kept[n], t) for n, t in run.method.model_state().items())
    images = np.load(data / "shapes" / "train-16px" / "images.npy")
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    model = load_model(config, weights, CPU)
    own, other = (embed(model, "reconstruction", x, CPU) for x in (images, noise))
    views = model.views(torch.from_numpy(images[3:5]))
    with torch.no_grad():
        mean, log_variance = (t.double() for t in model.network(views))
    expected = ((grey(views) - mean) ** 2 / log_variance.exp()).mean((1, 2, 3))
    np.testing.assert_allclose(own[3:5, 0], expected, rtol=1e-4)
    assert own[:, 1].mean() < other[:, 1].mean()


def test_a_size_that_cannot_be_halved_is_refused_before_planning():
    faults = dict(rival("uae", views={"size": 24}).faults(24))
    assert "cannot be halved 4 times: write a multiple of 16" in faults["views.size"]
    with pytest.raises(UserError, match=r"backbone"):
        rival("uae", backbone={"depth": 3})
