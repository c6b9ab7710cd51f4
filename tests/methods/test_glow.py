"""Glow: determinants against autograd's Jacobian, densities by hand, dequantisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.glow.flow import ActNorm, Coupling, Levels, Mixing, Split, Step
from ssl_ood.methods.glow.method import dequantised, whole_values
from ssl_ood.training.trainer import make_training

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


def shaken(layer, seed=0):
    """The layer in float64, its parameters moved off their start."""
    torch.manual_seed(seed)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def jacobian_log_det(function, x):
    """log |det J| of an image's map, by autograd."""
    size = x.numel()
    matrix = torch.autograd.functional.jacobian(lambda v: function(v.view(x.shape)).flatten(), x)
    return torch.linalg.slogdet(matrix.reshape(size, size))[1].item()


@pytest.mark.parametrize(
    "layer",
    [lambda: ActNorm(4), lambda: Mixing(4), lambda: Coupling(4, 6), lambda: Step(4, 6)],
    ids=["actnorm", "mixing", "coupling", "step"],
)
@given(seed=st.integers(0, 100))
@settings(max_examples=5, deadline=None)
def test_the_determinant_is_autograds(layer, seed):
    torch.manual_seed(seed)
    layer = shaken(layer(), seed)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    _, log_det = layer(x)
    for i in range(2):
        expected = jacobian_log_det(lambda v: layer(v)[0], x[i : i + 1])
        assert log_det[i].item() == pytest.approx(expected, abs=1e-8)


def test_the_density_of_a_flow_is_that_of_its_latents_times_the_determinant():
    """One level: SciPy's normal density of the latents and autograd's Jacobian."""
    flow = shaken(Levels(1, 4, levels=1, steps=2, hidden=5))
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64) - 0.5
    latents, log_density = flow(x)
    mean, log_deviation = (p.flatten().repeat_interleave(4).detach().numpy() for p in flow.prior)
    expected = norm(mean, np.exp(log_deviation)).logpdf(latents.detach().numpy()[0]).sum()
    expected += jacobian_log_det(lambda v: flow(v)[0], x)
    assert log_density.item() == pytest.approx(expected, abs=1e-8)
    assert latents.shape[1] == flow.latents == 16


def test_a_split_adds_the_density_of_what_it_takes_out():
    split = shaken(Split(4))
    x = torch.randn(3, 4, 2, 2, dtype=torch.float64)
    kept, log_p = split(x)
    mean, log_deviation = (p.detach().numpy() for p in split.prior(x[:, :2]).chunk(2, dim=1))
    expected = norm(mean, np.exp(log_deviation)).logpdf(x[:, 2:].numpy()).sum((1, 2, 3))
    assert torch.equal(kept, x[:, :2])
    np.testing.assert_allclose(log_p.detach(), expected, rtol=1e-10)


def test_an_untrained_flow_of_two_levels_has_the_density_of_its_parts():
    flow = shaken(Levels(2, 8, levels=2, steps=1, hidden=4))
    x = torch.rand(2, 2, 8, 8, dtype=torch.float64) - 0.5
    y = torch.nn.functional.pixel_unshuffle(x, 2)
    y, total = flow.levels[0][0](y)
    y, log_p = flow.splits[0](y)
    z, log_det = flow.levels[1][0](torch.nn.functional.pixel_unshuffle(y, 2))
    mean, log_deviation = (p.detach().numpy() for p in flow.prior)
    own = norm(mean, np.exp(log_deviation)).logpdf(z.detach().numpy()).sum((1, 2, 3))
    latents, log_density = flow(x)
    np.testing.assert_allclose(log_density.detach(), (total + log_p + log_det).detach() + own)
    assert torch.equal(latents, z.flatten(1))


def test_actnorm_standardises_the_first_batch():
    norm_layer = ActNorm(3)
    x = 5 + 2 * torch.randn(16, 3, 4, 4)
    norm_layer.standardise(x)
    y, _ = norm_layer(x)
    np.testing.assert_allclose(y.mean((0, 2, 3)).detach(), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 2, 3), correction=0).detach(), 1, atol=1e-5)


def test_uniform_images_cost_8_bits():
    """Where the flow is the identity with a uniform density, every pixel costs log2 256 bits; a
    standard normal density of y = x / 256 - 0.5 costs what SciPy says."""
    method = make_training(rival("glow", backbone={"levels": 1, "steps": 1}), CPU).method
    with torch.no_grad():  # an identity but for the coupling's scale, sigmoid(2)
        for parameter in method.network.parameters():
            parameter.zero_()
        mixing = method.network.backbone.levels[0][0].mixing
        mixing.permutation.copy_(torch.eye(12))
        mixing.sign.fill_(1)
    values = torch.randint(0, 256, (2, 3, 16, 16)).float()
    y = dequantised(values, torch.rand(values.shape))
    scaled = torch.nn.functional.pixel_unshuffle(y, 2).numpy().astype(float)
    scaled[:, 6:] *= 1 / (1 + math.exp(-2))
    inside = norm.logpdf(scaled).sum((1, 2, 3)) + 6 * 64 * math.log(1 / (1 + math.exp(-2)))
    expected = 8 - inside / (768 * math.log(2))
    np.testing.assert_allclose(method.network.bits(y).detach(), expected, rtol=1e-5)


def test_pixels_become_whole_values_and_grey_where_asked():
    images = torch.randint(0, 256, (2, 3, 4, 4)).float()
    assert torch.equal(whole_values(images / 255, 3), images)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(whole_values(grey / 255, 1), images[:, :1])
    y = dequantised(images, torch.rand(images.shape))
    assert (y >= -0.5).all() and (y < 0.5).all()


def test_mutation_replaces_its_share_of_the_pixels():
    def images(share):
        method = make_training(rival("glow", training={"mutation": share}), CPU).method
        batch = Batch(torch.full((32, 16, 16, 3), 100, dtype=torch.uint8))
        return method._images(batch, slice(0, 32), 0)

    plain, mutated = images(0.0), images(0.25)
    changed = ((plain - mutated).abs() > 1e-9).float().mean().item()
    assert changed == pytest.approx(0.25 * 255 / 256, abs=0.01)
    assert (plain >= 100 / 256 - 0.5).all() and (plain < 101 / 256 - 0.5).all()


def test_the_first_step_standardises_and_bits_fall(data):
    from ssl_ood.training.sources import open_sources
    from ssl_ood.training.state import make_schedule
    from ssl_ood.training.trainer import train_step

    config = rival("glow", training={"epochs": 20, "mutation": 0.0})
    run = make_training(config, CPU)
    sources = open_sources(config, data, CPU)
    schedule = make_schedule(config, len(sources))
    for step in range(schedule.steps):
        batch = sources.batch(step, schedule.steps_per_epoch, 8)
        train_step(run, schedule, batch, 8)
        if step == 0:
            first = run.sums[0].item()
    loss, _ = run.method.loss(batch, slice(0, 8), FIRST)
    assert loss.item() < first - 0.5


def test_what_cannot_be_halved_is_refused_before_planning():
    faults = dict(rival("glow", backbone={"levels": 5}).faults(24))
    assert "cannot be halved backbone.levels 5 times" in faults["views.size"]
    with pytest.raises(UserError, match=r"backbone"):
        rival("glow", backbone={"depth": 3})
    assert lookup("method", "glow").max_devices == 1
