"""Pretext tasks on tiles: where they are cut, what is told, what is refused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from support.rivals import rival

from ssl_ood.methods.base import Moment
from ssl_ood.methods.jigsaw.permutations import far_apart
from ssl_ood.methods.patches.loss import NEIGHBOURS, pairs, position_loss
from ssl_ood.methods.tiles import cut
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


def step_of(config, data):
    """A method, the views of its first batch, and what its loss gives."""
    method = make_training(config, CPU).method
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    loss, parts = method.loss(batch, slice(0, 8), FIRST)
    return method, method.views_of(batch, slice(0, 8), "view", 0), loss.item(), parts.item()


@given(st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_tiles_are_slices(side, seed):
    rng = np.random.default_rng(seed)
    views = torch.from_numpy(rng.normal(size=(3, 2, 6, 6)))
    corners = torch.from_numpy(rng.integers(0, 7 - side, (3, 5, 2)))
    found = cut(views, corners, side)
    for i in range(3):
        for k in range(5):
            top, left = corners[i, k]
            expected = views[i, :, top : top + side, left : left + side]
            assert torch.equal(found[i, k], expected)


# ---- relative patch position

PLAIN = {"gap": 1, "move": 0, "drop_colours": False}


def numbered(side):
    """A view whose pixels have numbers of their own: (1, 3, S, S)."""
    return torch.arange(3.0 * side * side).view(1, 3, side, side)


def test_patches_lie_in_a_grid_with_gaps_and_move_no_further_than_they_may():
    config = rival("patches", views={"size": 32, "gap": 2, "move": 2, "drop_colours": False})
    method = make_training(config, CPU).method
    tops = set()
    for step in range(30):
        found = method.patches_of(numbered(32), step)[0, :, 0, 0, 0].long().numpy()
        places = np.stack([found // 32, found % 32], 1).reshape(3, 3, 2)
        for near, far in ((places[:-1, :, 0], places[1:, :, 0]),
                          (places[:, :-1, 1], places[:, 1:, 1])):  # fmt: skip
            assert ((far - near >= 10 - 4) & (far - near <= 10 + 4)).all()
        assert places.min() >= 0 and places.max() <= 24
        tops.add(tuple(places[0, 0]))
    assert len(tops) > 4  # drawn anew


def test_all_colours_but_one_of_an_image_become_noise():
    config = rival("patches", views=PLAIN | {"size": 32, "drop_colours": True})
    method = make_training(config, CPU).method
    plain = rival("patches", views=PLAIN | {"size": 32})
    seen = make_training(plain, CPU).method.patches_of(numbered(32).expand(6, -1, -1, -1) + 1, 0)
    found = method.patches_of(numbered(32).expand(6, -1, -1, -1) + 1, 0)
    same = (found == seen).all((1, 3, 4))
    assert (same.sum(1) == 1).all() and len(same.int().argmax(1).unique()) > 1
    assert found[~same[:, None].expand(-1, 9, -1)].abs().max() < 0.1


def test_the_middle_patch_stands_beside_each_other_one():
    features = torch.arange(2 * 9 * 1.0).view(2, 9, 1)
    found = pairs(features)
    assert found[0].tolist() == [[4, k] for k in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert found[1, 0].tolist() == [13, 9]
    assert position_loss(torch.zeros(3, 8, 8)).item() == pytest.approx(np.log(8))


def test_position_loss_is_scikit_learns_over_all_pairs(data):
    method, views, loss, told = step_of(rival("patches"), data)
    tiles = method.patches_of(views, 0)
    features = method.network.of_tiles(tiles)
    together = [torch.cat([f[4], f[k]]) for f in features for k in NEIGHBOURS]
    p = method.network.head(torch.stack(together)).double().softmax(1).detach().numpy()
    right = list(range(8)) * 8
    assert loss == pytest.approx(log_loss(right, p, labels=range(8)), rel=1e-5)
    assert told == pytest.approx(np.mean(p.argmax(1) == right))


def test_patches_that_do_not_fit_are_refused_before_planning():
    faults = dict(rival("patches", views={"size": 24, "gap": 1}).faults(24))
    assert "makes 3 patches 28 pixels wide, more than views.size 24" in faults["views.patch"]


# ---- jigsaw


def test_orders_are_far_apart_and_every_place_has_every_tile_about_equally_often():
    found = far_apart(100)
    assert all(sorted(row) == list(range(9)) for row in found.tolist())
    assert len({tuple(row) for row in found.tolist()}) == 100
    distances = [(found[i] != found[j]).sum() for i, j in combinations(range(100), 2)]
    drawn = np.stack([np.random.default_rng(i).permutation(9) for i in range(100)])
    usual = [(drawn[i] != drawn[j]).sum() for i, j in combinations(range(100), 2)]
    assert np.mean(distances) > np.mean(usual) + 0.05 and np.mean(distances) > 8
    counts = np.stack([np.bincount(found[:, place], minlength=9) for place in range(9)])
    assert counts.min() >= 10 and counts.max() <= 13  # of 100 / 9
    # Of nine far-apart orders no two can agree anywhere: a latin square.
    assert all((found[i] != found[j]).all() for i, j in combinations(range(9), 2))


def test_a_puzzle_shows_the_tiles_of_its_cells_in_the_order_that_is_asked(data):
    config = rival("jigsaw", views={"size": 30, "tile": 8})
    method = make_training(config, CPU).method
    views = torch.rand(6, 3, 30, 30)
    tiles, orders = method.puzzle(views, 0)
    assert tiles.shape == (6, 9, 3, 8, 8)
    np.testing.assert_allclose(tiles.mean((3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(tiles.std((3, 4), correction=0), 1, atol=1e-3)
    for view, shown, order in zip(views, tiles, orders, strict=True):
        for tile, place in zip(shown, far_apart(12)[order], strict=True):
            top, left = 10 * (place // 3), 10 * (place % 3)
            inside = [
                view[:, top + down : top + down + 8, left + right : left + right + 8]
                for down in range(3) for right in range(3)
            ]  # fmt: skip
            normalised = [
                (x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True, correction=0)
                for x in inside
            ]
            assert any(torch.allclose(tile, x, atol=1e-3) for x in normalised)


def test_jigsaw_loss_is_scikit_learns(data):
    method, views, loss, told = step_of(rival("jigsaw"), data)
    tiles, orders = method.puzzle(views, 0)
    features = torch.cat(
        [method.network.of_tiles(tiles)[:, k] for k in range(9)], dim=1
    )  # fmt: skip
    p = method.network.head(features).double().softmax(1).detach().numpy()
    assert loss == pytest.approx(log_loss(orders, p, labels=range(12)), rel=1e-4)
    assert told == pytest.approx(np.mean(p.argmax(1) == orders.numpy()))


def test_a_tile_that_is_larger_than_its_cell_is_refused_before_planning():
    faults = dict(rival("jigsaw", views={"size": 24, "tile": 9}).faults(24))
    assert "9 is more than the 8 pixels of a cell" in faults["views.tile"]
