"""Inpainting: equation 4.1 by hand, where the hole is, what the decoder is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import Moment, read_run
from ssl_ood.methods.inpainting.loss import inpainting_loss
from ssl_ood.methods.inpainting.method import ChannelWise
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training

CPU = torch.device("cpu")


def test_only_what_was_dropped_counts():
    rng = np.random.default_rng(0)
    images, filled = rng.normal(size=(2, 2, 3, 5, 5))
    hole = np.zeros((2, 1, 5, 5))
    hole[0, 0, 1:3, 2:4] = hole[1, 0, 0:2, 0:2] = 1
    total = 0.0
    for i, (rows, columns) in enumerate(((slice(1, 3), slice(2, 4)), (slice(0, 2), slice(0, 2)))):
        total += ((images[i, :, rows, columns] - filled[i, :, rows, columns]) ** 2).sum()
    found = inpainting_loss(*map(torch.from_numpy, (images, filled, hole)))
    # In float32 as all that a network fills.
    assert found.item() == pytest.approx(total / (2 * 4 * 3), rel=1e-5)


def test_the_network_does_not_see_what_it_is_to_fill(data):
    method = make_training(rival("inpainting"), CPU).method
    batch = open_sources(rival("inpainting"), data, CPU).batch(0, 3, 8)
    seen = []
    method.network.register_forward_pre_hook(lambda _, views: seen.append(views[0]))
    loss, parts = method.loss(batch, slice(0, 8), Moment(0, 0, 1.0, 1.0))
    views, hole = method.views_of(batch, slice(0, 8), "view", 0), method.holes(8, 0)
    inside = hole.bool().expand_as(views)
    assert (seen[0][inside] == 0).all() and torch.equal(seen[0][~inside], views[~inside])
    with torch.no_grad():
        filled = method.network(seen[0])
        completed = torch.where(inside, filled, views)
        share = [method.network.opponents(x).double().sigmoid() for x in (views, completed)]
    expected = ((views - filled)[inside] ** 2).mean().item()
    assert parts.tolist() == pytest.approx([expected], rel=1e-4)
    fooled = log_loss(np.ones(8), share[1], labels=[0, 1])
    assert loss.item() == pytest.approx(0.9 * expected + 0.1 * fooled, rel=1e-4)
    told, _ = method.loss_of_opponents(batch, slice(0, 8), Moment(0, 0, 1.0, 1.0))
    expected = log_loss(np.ones(8), share[0], labels=[0, 1])
    expected += log_loss(np.zeros(8), share[1], labels=[0, 1])
    assert told.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("place", ["centre", "random"])
def test_the_hole_is_a_square_in_the_middle_or_anywhere(place):
    method = make_training(rival("inpainting", views={"place": place}), CPU).method
    masks = torch.cat([method.holes(8, step) for step in range(20)])
    assert masks.shape == (160, 1, 16, 16) and (masks.sum((1, 2, 3)) == 36).all()
    corners = {tuple(mask[0].nonzero()[0].tolist()) for mask in masks}
    assert corners == {(5, 5)} if place == "centre" else len(corners) > 60
    for mask in masks[:20]:
        top, left = mask[0].nonzero()[0]
        assert mask[0, top : top + 6, left : left + 6].all()


def test_every_place_of_a_channel_sees_all_of_its_own_and_no_other():
    layer = ChannelWise(3, 4)
    maps = torch.randn(2, 3, 2, 2, requires_grad=True)
    out = layer(maps)
    expected = np.stack([
        maps[:, c].flatten(1).detach().numpy() @ layer.weight[c].detach().numpy() for c in range(3)
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(out.detach().flatten(2), expected, rtol=1e-5, atol=1e-6)
    out[0, 1, 0, 0].backward()
    assert maps.grad[0, 1].all() and not maps.grad[0, [0, 2]].any() and not maps.grad[1].any()


def test_a_hole_of_the_whole_view_and_a_backbone_without_maps_are_refused():
    faults = dict(rival("inpainting", views={"hole": 16}).faults(24))
    assert "16 leaves nothing of a view of views.size 16" in faults["views.hole"]
    plain = rival("inpainting").to_dict()
    small = {"name": "vit_small_patch16_224", "embed_dim": 16, "depth": 1, "num_heads": 2}
    config = read_run(plain | {"backbone": small | {"patch_size": 8}})
    with pytest.raises(UserError, match=r"has no maps that become views of views\.size 16 pixels"):
        make_training(config, CPU)
