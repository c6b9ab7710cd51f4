"""Position embeddings against a slow resampling in NumPy, and the class token's start."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from ssl_ood.common.errors import UserError
from ssl_ood.methods.backbones import build_backbone, load_backbone
from ssl_ood.methods.positions import resample
from ssl_ood.methods.settings import Backbone

SMALL = {
    "name": "vit_small_patch16_224",
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "patch_size": 8,
}


def vit(size=64, **options):
    torch.manual_seed(0)
    made = build_backbone(Backbone(**SMALL | options), img_size=size, dynamic_img_size=True)
    return made.eval()


def cubic(distance, a=-0.75):
    """The weight of a sample so far away: Keys' kernel."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def slow(values, count):
    """Samples `count` values of a list: scale (count + 0.1) / n, edges repeated."""
    n = len(values)
    scale = (count + 0.1) / n
    found = []
    for i in range(count):
        where = (i + 0.5) / scale - 0.5
        first = math.floor(where)
        total = np.zeros_like(values[0])
        for j in range(first - 1, first + 3):
            total = total + cubic(where - j) * values[min(max(j, 0), n - 1)]
        found.append(total)
    return found


@pytest.mark.parametrize(
    ("grid", "size"), [((16, 16), (8, 8)), ((16, 16), (6, 6)), ((4, 4), (2, 2)), ((5, 7), (3, 9))]
)
def test_positions_are_resampled_as_a_slow_bicubic_does(grid, size):
    positions = np.random.default_rng(0).normal(size=(*grid, 3))
    rows = slow(list(positions), size[0])
    expected = np.stack([np.stack(slow(list(row), size[1])) for row in rows])
    found = resample(torch.tensor(positions, dtype=torch.float32), *size)
    assert found.shape == (*size, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    # Between the sample points that the added tenth gives and those without it lies more.
    centred = F.interpolate(torch.tensor(positions).permute(2, 0, 1)[None], size, mode="bicubic")
    assert (centred[0].permute(1, 2, 0) - found).abs().max() > 0.05


def test_a_grid_of_the_asked_size_is_left_as_it_is():
    positions = torch.randn(4, 4, 3)
    assert resample(positions, 4, 4) is positions


@pytest.mark.parametrize("size", [64, 32, 24])
def test_the_network_adds_them_and_timms_weights_still_load(size, tmp_path):
    """Against timm's own model whose position embeddings were replaced by the resampled ones."""
    ours = vit(position="bicubic")
    with torch.no_grad():
        ours.pos_embed.normal_(std=0.5)
    state, side = ours.state_dict(), size // 8
    of_class, of_patches = state["pos_embed"].split([1, 64], dim=1)
    sampled = resample(of_patches.view(8, 8, 16), side, side).reshape(1, -1, 16)
    options = {key: value for key, value in SMALL.items() if key != "name"}
    theirs = timm.create_model(SMALL["name"], num_classes=0, img_size=size, **options).eval()
    theirs.load_state_dict(state | {"pos_embed": torch.cat([of_class, sampled], 1)})
    views = torch.randn(3, 3, size, size)
    torch.testing.assert_close(ours(views), theirs(views), rtol=1e-4, atol=1e-5)
    antialiased = vit()
    save_file(state, tmp_path / "weights.safetensors")
    load_backbone(antialiased, tmp_path / "weights.safetensors")  # parameters are timm's
    difference = (antialiased(views) - ours(views)).abs().max()
    assert difference < 1e-5 if size == 64 else difference > 1e-4


def test_gradients_reach_the_position_embeddings():
    network = vit(position="bicubic")
    network(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert network.pos_embed.grad.abs().sum(-1).min() >= 0
    assert (network.pos_embed.grad[0].abs().sum(-1) > 0).sum() > 32  # not only every other one


def test_the_class_token_starts_with_the_asked_deviation():
    wide = {"embed_dim": 384, "num_heads": 6}
    assert vit(**wide).cls_token.std() < 1e-5
    for std in (0.02, 1e-6):
        found = vit(cls_token_std=std, **wide).cls_token.std().item()
        assert found == pytest.approx(std, rel=0.15)


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        ({"name": "resnet18", "position": "bicubic"},
         "The backbone resnet18 is not a vision transformer with a class token"),
        ({"name": "resnet18", "cls_token_std": 0.02},
         "The backbone resnet18 has no class token: leave out backbone.cls_token_std."),
        (SMALL | {"position": "bicubic", "no_embed_class": True},
         "take backbone.position antialiased"),
    ],
)  # fmt: skip
def test_what_a_network_does_not_have_is_a_sentence(backbone, sentence):
    with pytest.raises(UserError) as error:
        build_backbone(Backbone(**backbone))
    assert sentence in str(error.value)
