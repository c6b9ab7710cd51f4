"""Head and network against torch's weight_norm and a timm model of the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors, save_tensors
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import read_run
from ssl_ood.methods.dino.network import Head, build_network
from ssl_ood.methods.settings import Backbone


def test_prototypes_of_fixed_norm_are_a_weight_normalised_layer_of_gain_one():
    torch.manual_seed(0)
    head = Head(6, layers=3, hidden=10, bottleneck=5, out=9, norm_last_layer=True)
    assert head.norms is None
    last = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(5, 9, bias=False))
    with torch.no_grad():
        last.parametrizations.weight.original0.fill_(1)  # g
        last.parametrizations.weight.original1.copy_(head.prototypes)  # v
    features = torch.randn(4, 6)
    bottleneck = head.mlp(features)
    expected = last(bottleneck / bottleneck.norm(dim=1, keepdim=True))
    found = head(features)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    mine = head.prototypes.grad.clone()
    head.zero_grad()
    last(torch.nn.functional.normalize(head.mlp(features), dim=-1)).square().sum().backward()
    torch.testing.assert_close(mine, last.parametrizations.weight.original1.grad)


def test_gradients_of_free_norms_are_those_worked_out():
    """Of logits z = g v.x / |v|: dg = v.x / |v| dz, dv = g / |v| (x - (v.x) v / |v|^2) dz."""
    torch.manual_seed(0)
    head = Head(5, layers=1, hidden=1, bottleneck=4, out=3)
    with torch.no_grad():
        head.norms.copy_(torch.tensor([[0.5], [1.0], [2.0]]))
    features, arriving = torch.randn(6, 5), torch.randn(6, 3)
    head(features).backward(arriving)
    x = head.mlp(features).detach().double().numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    v, g = (p.detach().double().numpy() for p in (head.prototypes, head.norms))
    of_norms, of_prototypes = np.zeros((3, 1)), np.zeros((3, 4))
    for image in range(6):
        for k in range(3):
            length, dz = np.sqrt((v[k] ** 2).sum()), arriving[image, k].item()
            cosine = v[k] @ x[image] / length
            logit = head(features)[image, k].item()
            assert logit == pytest.approx(g[k, 0] * cosine, abs=1e-6)
            of_norms[k, 0] += cosine * dz
            of_prototypes[k] += g[k, 0] / length * (x[image] - cosine * v[k] / length) * dz
    np.testing.assert_allclose(head.norms.grad, of_norms, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.prototypes.grad, of_prototypes, rtol=1e-5, atol=1e-6)


def test_norms_start_at_one_so_that_both_kinds_of_head_start_alike():
    heads = []
    for fixed in (True, False):
        torch.manual_seed(0)
        heads.append(Head(6, layers=2, hidden=10, bottleneck=5, out=9, norm_last_layer=fixed))
    features = torch.randn(4, 6)
    assert torch.equal(heads[1].norms, torch.ones(9, 1))
    assert torch.equal(heads[0](features), heads[1](features))


@pytest.mark.parametrize(("layers", "widths"), [(1, [6, 5]), (2, [6, 10, 5]), (3, [6, 10, 10, 5])])
def test_head_has_the_asked_layers(layers, widths):
    head = Head(6, layers=layers, hidden=10, bottleneck=5, out=9)
    linear = [m for m in head.mlp if isinstance(m, torch.nn.Linear)]
    assert [m.in_features for m in linear] + [linear[-1].out_features] == widths
    assert sum(isinstance(m, torch.nn.GELU) for m in head.mlp) == layers - 1
    assert not isinstance(head.mlp[-1], torch.nn.GELU)
    assert all(m.bias.abs().max() == 0 for m in linear)


def test_logits_are_cosines():
    torch.manual_seed(0)
    head = Head(6, layers=2, hidden=10, bottleneck=3, out=50)
    with torch.no_grad():
        head.prototypes.mul_(100)
    logits = head(50 * torch.randn(200, 6))
    assert logits.abs().max() <= 1 + 1e-6
    assert logits.abs().max() > 0.9


def test_logits_stay_exact_inside_an_autocast(device):
    """In bfloat16 a cosine is known to 0.004, which the temperature 0.01 makes 0.4."""
    torch.manual_seed(0)
    head = Head(6, layers=1, hidden=10, bottleneck=5, out=9).to(device)
    head.mlp = torch.nn.Identity()
    features = torch.randn(4, 5, device=device)
    expected = head(features)
    with torch.autocast(device.type, torch.bfloat16):
        found = head(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_features_are_timms_class_token_after_the_norm(tiny):
    config = tiny(backbone={"depth": 2})
    network = build_network(config.options).eval()
    same = timm.create_model(
        "vit_small_patch16_224", num_classes=0, img_size=16, dynamic_img_size=True, embed_dim=16,
        depth=2, num_heads=2, patch_size=8,
    ).eval()  # fmt: skip
    same.load_state_dict(network.backbone.state_dict())
    for size in (16, 8):  # global and local views
        views = torch.randn(3, 3, size, size)
        found = network.features(views)
        torch.testing.assert_close(found, same.forward_features(views)[:, 0])
        assert found.shape == (3, 16)
        # After the norm, whose gain is 1 and bias 0 in a fresh network.
        torch.testing.assert_close(found.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
        # The variance of a fresh network's tokens is 1e-4 or so, the norm's epsilon 1e-6.
        torch.testing.assert_close(found.var(1, correction=0), torch.ones(3), rtol=2e-2, atol=0)


def test_views_of_two_sizes_give_the_logits_of_each_alone(tiny):
    network = build_network(tiny().options).eval()
    big, small = torch.randn(3, 3, 16, 16), torch.randn(5, 3, 8, 8)
    together = network([big, small])
    assert [len(logits) for logits in together] == [3, 5]
    for views, logits in zip((big, small), together, strict=True):
        torch.testing.assert_close(logits, network([views])[0])


def test_the_thesis_backbone_is_vit_s_16(tiny):
    config = tiny().to_dict() | {
        "backbone": {"name": "vit_small_patch16_224", "drop_path_rate": 0.1},
        "head": {
            "layers": 3,
            "hidden": 2048,
            "bottleneck": 256,
            "out": 4096,
            "norm_last_layer": False,
            "frozen": False,
        },
    }
    with torch.device("meta"):
        network = build_network(read_run(config).options)
    assert network.backbone.num_features == 384
    assert len(network.backbone.blocks) == 12
    assert network.head.prototypes.shape == (4096, 256)
    assert network.backbone.blocks[-1].drop_path1.drop_prob == pytest.approx(0.1)
    # 21.7 million weights (Caron et al., table 1: 21 M) and the head
    assert 21.5e6 < sum(p.numel() for p in network.backbone.parameters()) < 22.0e6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": {"depht": 2}}, "unexpected keyword argument 'depht'"),
        ({"backbone": {"name": "vit_smal"}}, "timm cannot make the backbone vit_smal"),
    ],
)  # fmt: skip
def test_a_backbone_that_cannot_be_made_is_one_sentence(tiny, changes, sentence):
    with pytest.raises(UserError) as error:
        build_network(tiny(**changes).options)
    assert sentence in str(error.value)


def test_kinds_of_views_of_a_config(tiny):
    specs = tiny(views={"blur_p": [1.0, 0.1, 0.5], "solarize_p": 0.2}).views.specs
    assert [specs[k].blur_p for k in ("global_1", "global_2", "local")] == [1.0, 0.1, 0.5]
    assert [specs[k].solarize_p for k in ("global_1", "global_2", "local")] == [0.0, 0.2, 0.0]
    assert [specs[k].size for k in ("global_1", "global_2", "local")] == [16, 16, 8]
    assert specs["local"].scale == (0.2, 0.6)
    assert specs["global_1"].scale == specs["global_2"].scale == (0.4, 1.0)


def test_convolutions_have_channels_last_and_their_files_have_rows():
    """The numbers are those of the usual order; a vision transformer stays as timm makes it."""
    backbone = Backbone(name="resnet18", channels=[8, 16, 16, 16], layers=[1, 1, 1, 1])
    torch.manual_seed(0)
    network = build_backbone(backbone).eval()
    torch.manual_seed(0)
    usual = timm.create_model("resnet18", num_classes=0, **backbone.options).eval()
    assert network.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(network(images), usual(images))
    narrow = build_backbone(Backbone(name="resnet18", channels=[4, 8, 8, 8], layers=[1, 1, 1, 1]))
    assert narrow.layer1[0].conv1.weight.is_contiguous()  # kernels for AVX2 would corrupt memory
    transformer = build_backbone(Backbone(name="vit_tiny_patch16_224", depth=1), 32)
    assert transformer.patch_embed.proj.weight.is_contiguous()


def test_weights_are_saved_alike_whatever_their_order_in_memory(tmp_path):
    weight = torch.rand(4, 3, 2, 2)
    save_tensors({"weight": weight}, tmp_path / "rows", {})
    save_tensors({"weight": weight.to(memory_format=torch.channels_last)}, tmp_path / "last", {})
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "last").read_bytes()
    assert torch.equal(load_tensors(tmp_path / "last")[0]["weight"], weight)
