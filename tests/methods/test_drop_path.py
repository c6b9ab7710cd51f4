"""Stochastic depth: against timm's module, and the distribution of what is given to it."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from timm.layers import DropPath as Timms

from ssl_ood.common.streams import stream
from ssl_ood.methods.drop_path import DropPath, draw_factors, replace_drop_paths


def test_without_given_factors_it_draws_as_timm_does():
    branch = torch.randn(64, 3, 5)
    found = []
    for module in (DropPath(0.3), Timms(0.3)):
        torch.manual_seed(0)
        found.append(module(branch))
    torch.testing.assert_close(*found)
    assert torch.equal(DropPath(0.3).eval()(branch), branch)
    assert torch.equal(DropPath(0.0)(branch), branch)


def test_given_factors_scale_the_rows():
    module = DropPath(0.5)
    module.given = torch.tensor([0.0, 2.0, 2.0])
    branch = torch.randn(3, 4, 2)
    assert torch.equal(module(branch), torch.stack([0 * branch[0], 2 * branch[1], 2 * branch[2]]))
    assert module(branch.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(module.eval()(branch), branch)


def test_every_one_of_a_backbone_is_replaced_and_its_rate_kept():
    options = {"embed_dim": 8, "depth": 3, "num_heads": 2, "drop_path_rate": 0.2, "num_classes": 0}
    backbone = timm.create_model("vit_small_patch16_224", **options)
    rates = [m.drop_prob for m in backbone.modules() if isinstance(m, Timms)]
    paths = replace_drop_paths(backbone)
    assert [path.drop_prob for path in paths] == rates == pytest.approx([0.1, 0.1, 0.2, 0.2])
    assert not [m for m in backbone.modules() if isinstance(m, Timms)]


def test_factors_are_zero_or_scaled_and_one_on_average():
    paths = [DropPath(0.0), DropPath(0.25)]
    drawn = draw_factors(paths, 4, 5000, stream(0, "test"))
    assert drawn.shape == (2, 4, 5000) and drawn.dtype == np.float32
    assert (drawn[0] == 1).all()
    assert set(np.unique(drawn[1])) == {np.float32(0), np.float32(1) / np.float32(0.75)}
    assert drawn[1].mean(axis=1) == pytest.approx(np.ones(4), abs=0.05)
