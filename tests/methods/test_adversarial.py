"""Methods with opponents: losses against slow versions, who is trained, what is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss, roc_auc_score
from support.packed import write_packed
from support.rivals import rival
from torch import nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.features import embed
from ssl_ood.methods.base import Moment, load_model
from ssl_ood.methods.cavga.loss import attention, bound_loss, lacking
from ssl_ood.methods.maps import absolute_errors, widths_of
from ssl_ood.methods.settings import read_run
from ssl_ood.methods.turns import told_apart
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training, train

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)
METHODS = ["alpha_gan", "one_class_gan", "cavga"]
SCORES = {
    "alpha_gan": ["absolute_error"],
    "one_class_gan": ["absolute_error", "code_error"],
    "cavga": ["absolute_error", "lacking_attention"],
}


def both_turns(config, data):
    """The method, its first batch's views, and (loss, parts) of each of its turns there."""
    run = make_training(config, CPU)
    run.method.network.eval()  # a slow version can then look at one image at a time
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    told = [turn.loss(batch, slice(0, 8), FIRST) for turn in run.method.turns()]
    views = run.method.views_of(batch, slice(0, 8), "view", 0)
    return run.method, batch, views, told


def share(logits):
    """The probability of being real."""
    return 1 / (1 + np.exp(-logits.detach().double().numpy()))


def slow_telling_apart(real, *made):
    """By scikit-learn's cross-entropies, each a mean over what it is of."""
    return log_loss(np.ones(len(real)), share(real), labels=[0, 1]) + sum(
        log_loss(np.zeros(len(m)), share(m), labels=[0, 1]) for m in made
    )


def slow_error(images, rebuilt):
    return np.mean([np.abs(x - y).mean() for x, y in zip(*(t.detach().numpy() for t in (
        images, rebuilt)), strict=True)])  # fmt: skip


def test_alpha_gan_is_algorithm_1_of_its_paper(data):
    method, batch, views, ((loss, (error,)), (opposed, _)) = both_turns(rival("alpha_gan"), data)
    network, images = method.network, views.mean(1, keepdim=True)
    codes = network.backbone(images)
    drawn = method.prior(batch, slice(0, 8), 0)
    judges = network.opponents["images"], network.opponents["codes"]
    rebuilt, made = network.generator(codes), network.generator(drawn)
    fooled = sum(
        np.mean(-np.log(share(logits)) + np.log(1 - share(logits)))
        for logits in (judges[0](rebuilt), judges[0](made), judges[1](codes))
    )
    assert error.item() == pytest.approx(slow_error(images, rebuilt), rel=1e-5)
    assert loss.item() == pytest.approx(10 * slow_error(images, rebuilt) + fooled, rel=1e-4)
    expected = slow_telling_apart(*(judges[0](x) for x in (images, rebuilt, made)))
    expected += slow_telling_apart(judges[1](drawn), judges[1](codes))
    assert opposed.item() == pytest.approx(expected, rel=1e-5)
    assert drawn.mean().abs() < 0.5 and 0.7 < drawn.std() < 1.3
    assert torch.equal(drawn[2:5], method.prior(batch, slice(2, 5), 0))
    assert not torch.equal(drawn, method.prior(batch, slice(0, 8), 1))


def test_one_class_gan_has_three_losses(data):
    method, _, views, ((loss, (error,)), (opposed, _)) = both_turns(rival("one_class_gan"), data)
    network = method.network
    codes = network.backbone(views)
    rebuilt = network.decoder(codes)
    again = network.again(rebuilt)
    of_codes = np.mean((codes.detach().numpy() - again.detach().numpy()) ** 2)
    fooled = log_loss(np.ones(8), share(network.opponents(rebuilt)), labels=[0, 1])
    expected = 50 * slow_error(views, rebuilt) + 2 * of_codes + fooled
    assert error.item() == pytest.approx(slow_error(views, rebuilt), rel=1e-5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    told = slow_telling_apart(network.opponents(views), network.opponents(rebuilt))
    assert opposed.item() == pytest.approx(told, rel=1e-5)


def test_cavga_has_a_bound_an_opponent_and_attention(data):
    method, batch, views, ((loss, parts), (opposed, _)) = both_turns(rival("cavga"), data)
    network = method.network
    maps = network.backbone.forward_features(views)
    mean, log_variance, rebuilt = method.drawn(maps, batch, slice(0, 8), 0)
    normals = (torch.distributions.Normal(m, s) for m, s in (
        (mean, (log_variance / 2).exp()), (torch.zeros(()), torch.ones(()))))  # fmt: skip
    divergence = torch.distributions.kl_divergence(*normals).sum() / 8
    bound = np.mean((views - rebuilt).detach().numpy() ** 2) + divergence.item() / (3 * 32 * 32)
    fooled = log_loss(np.ones(8), share(network.opponents(rebuilt)), labels=[0, 1])
    lack = 1 - network.attention(views).mean().item()
    assert parts.tolist() == pytest.approx([slow_error(views, rebuilt), lack], rel=1e-5)
    assert loss.item() == pytest.approx(bound + 0.5 * fooled + 0.1 * lack, rel=1e-5)
    told = slow_telling_apart(network.opponents(views), network.opponents(rebuilt))
    assert opposed.item() == pytest.approx(told, rel=1e-5)


def test_the_bounds_divergence_is_an_integral():
    mean, variance = 0.7, 0.3
    own = norm(mean, variance**0.5)
    expected, _ = quad(lambda z: own.pdf(z) * (own.logpdf(z) - norm.logpdf(z)), -8, 8)
    images = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    maps = torch.full((1, 1, 1, 1), mean, dtype=torch.float64)
    found = bound_loss(images, images, maps, torch.full_like(maps, variance).log())
    assert found.item() == pytest.approx(expected / 4, rel=1e-9)
    assert bound_loss(images, images + 1, 0 * maps, 0 * maps).item() == 1


def test_attention_is_grad_cam_of_the_latents():
    """Gradients of the sum of the means, pooled over the places, as weights of the maps."""
    torch.manual_seed(0)
    maps = torch.randn(3, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    convolution = nn.Conv2d(6, 5, 1).double()
    (gradient,) = torch.autograd.grad(convolution(maps).sum(), maps)
    weights = gradient.mean((2, 3)).numpy()
    for i, image in enumerate(maps.detach().numpy()):
        cam = sum(w * channel for w, channel in zip(weights[i], image, strict=True))
        found = attention(maps, convolution.weight[:, :, 0, 0])[i].detach()
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-cam)), rtol=1e-10)
    assert lacking(torch.tensor([[[0.25, 0.75]], [[0.5, 0.5]]])).item() == 0.5


def test_who_cannot_tell_pays_a_bit_for_each():
    nothing = torch.zeros(4)
    assert told_apart(nothing, [nothing, nothing]).item() == pytest.approx(3 * np.log(2))
    assert told_apart(nothing + 50, [nothing - 50]).item() == pytest.approx(0, abs=1e-9)
    images = torch.arange(8.0).view(2, 1, 2, 2)
    assert absolute_errors(images, 0 * images).tolist() == [1.5, 5.5]
    assert widths_of(64, 16) == [16, 32, 64, 128] and widths_of(256, 4)[-2:] == [32, 32]


@pytest.mark.parametrize("method", [*METHODS, "inpainting"])
def test_each_side_is_trained_in_its_own_turn_only(method, data):
    run = make_training(rival(method), CPU)
    batch = open_sources(rival(method), data, CPU).batch(0, 3, 8)
    network = run.method.network
    theirs = set(network.opponents.parameters())
    own, opposing = run.method.turns()
    trained = [{p for g in t.optimizer.param_groups for p in g["params"]} for t in (own, opposing)]
    assert trained[1] == theirs and trained[0] == set(network.parameters()) - theirs
    for turn, parameters in ((own, set(network.parameters()) - theirs), (opposing, theirs)):
        network.zero_grad(set_to_none=True)
        turn.loss(batch, slice(0, 8), FIRST)[0].backward()
        assert {p for p in network.parameters() if p.grad is not None} == parameters
    assert all(p.requires_grad for p in network.parameters())
    rates = [turn.optimizer.param_groups[0].get("rate", 1) for turn in (own, opposing)]
    assert rates == [1, 0.2 if method == "inpainting" else 0.5]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Handwritten digits as training images of 16 pixels; and other ones, and their negatives."""
    drawn = np.kron(load_digits().images[:120] * (255 / 16), np.ones((2, 2)))
    images = drawn.astype(np.uint8)[..., None].repeat(3, 3)
    folder = tmp_path_factory.mktemp("digits")
    place = folder / "shapes" / "train-16px"
    write_packed(place, images[:80], np.zeros(80, np.int64), dataset="shapes", split="train")
    return folder, images[80:], 255 - images[80:]


@pytest.mark.parametrize("method", METHODS)
def test_trained_on_digits_its_scores_are_of_each_image_and_finite(method, digits, tmp_path):
    """Negatives of digits, of a kind that no training image is, are reconstructed worse."""
    folder, own, other = digits
    training = {"epochs": 12, "batch_size": 16, "lr_base": 0.03, "lr_min": 0.002}
    config = rival(method, training=training)
    train(config, folder, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    for name in SCORES[method]:
        entry = lookup("score", name)
        assert entry.needs <= lookup("method", method).more["offers"]
        embedded = [embed(model, entry.more["embedding"], x, CPU) for x in (own, other)]
        scores = [entry.load()(torch.from_numpy(e), torch.zeros(1, 1)).numpy() for e in embedded]
        assert all(s.shape == (40,) and np.isfinite(s).all() for s in scores), name
        alone = embed(model, entry.more["embedding"], own[7:9], CPU)
        np.testing.assert_allclose(alone, embedded[0][7:9], rtol=1e-4, atol=1e-6)
        if name == "absolute_error":
            assert roc_auc_score([0] * 40 + [1] * 40, np.concatenate(scores)) > 0.9
            views = model.views(torch.from_numpy(own))
            with torch.no_grad():
                rebuilt = model.network(views)[1]
            shown = views[:, :1] if rebuilt.shape[1] == 1 else views  # grey as they are
            expected = [slow_error(x[None], y[None]) for x, y in zip(shown, rebuilt, strict=True)]
            np.testing.assert_allclose(scores[0], expected, rtol=1e-4)


@pytest.mark.parametrize("method", [*METHODS, "inpainting"])
def test_a_size_that_no_decoder_or_judge_reaches_is_refused_before_planning(method):
    for size in (24, 48):
        faults = dict(rival(method, views={"size": size}).faults(24))
        assert f"{size} is not 4 doubled some times: write 16" in faults["views.size"]
    assert not [f for size in (8, 64) for f in rival(method, views={"size": size}).faults(24)]


@pytest.mark.parametrize(
    ("method", "section", "values", "sentence"),
    [
        ("alpha_gan", "training", {"opponent_rate": 0.0}, "opponent_rate"),
        ("alpha_gan", "views", {"channels": 2}, "write 1 for grey images, 3 for colour"),
        ("alpha_gan", "backbone", {"depth": 3}, "backbone"),
        ("one_class_gan", "training", {"code_weight": -1.0}, "code_weight"),
        ("cavga", "training", {"attention_weight": -0.1}, "attention_weight"),
        ("cavga", "head", {"latents": 0}, "latents"),
    ],
)
def test_a_wrong_setting_is_refused(method, section, values, sentence):
    with pytest.raises(UserError, match=sentence):
        rival(method, **{section: values})


def test_a_backbone_without_maps_is_refused():
    vit = {"name": "vit_small_patch16_224", "embed_dim": 16, "depth": 1, "num_heads": 2}
    config = read_run(rival("cavga").to_dict() | {"backbone": vit})
    with pytest.raises(UserError, match="has no maps that become views"):
        make_training(config, CPU)
