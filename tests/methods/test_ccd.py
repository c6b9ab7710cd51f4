"""Constrained contrastive distribution learning: its three losses, what it does to images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from support.packed import write_packed
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import Moment
from ssl_ood.methods.ccd.augment import cut_perm, draw_holes, draw_pairs, without
from ssl_ood.methods.ccd.loss import augmentation, position
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import make_schedule
from ssl_ood.training.trainer import make_training, train_step

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)
AROUND = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def slow_cut_perm(image: np.ndarray, kind: int) -> np.ndarray:
    """Halves of one (H, W, C) image cut apart and put together again."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    if kind in (2, 3):
        image = np.concatenate([image[height:], image[:height]], axis=0)
    if kind in (1, 3):
        image = np.concatenate([image[:, width:], image[:, :width]], axis=1)
    return image


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 1000))
def test_halves_change_places(height, width, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (6, height, width, 3), dtype=np.uint8)
    kinds = rng.integers(0, 4, 6)
    found = cut_perm(torch.from_numpy(images), torch.from_numpy(kinds)).numpy()
    for image, kind, changed in zip(images, kinds, found, strict=True):
        np.testing.assert_array_equal(changed, slow_cut_perm(image, kind))


def test_halves_of_an_even_side_changed_twice_are_where_they_were():
    images = torch.arange(4 * 6 * 8 * 3).view(4, 6, 8, 3)
    kinds = torch.arange(4)
    assert torch.equal(cut_perm(cut_perm(images, kinds), kinds), images)
    assert torch.equal(cut_perm(images, kinds)[0], images[0])


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 1000))
def test_the_second_patch_lies_where_its_place_says(patch, free, seed):
    side = 2 * patch + free
    corners, places = draw_pairs(64, side, patch, np.random.default_rng(seed))
    assert corners.min() >= 0 and corners.max() <= side - patch
    for (first, second), place in zip(corners, places, strict=True):
        for axis, direction in enumerate(AROUND[place]):
            away = (second[axis] - first[axis]) * (direction or 1)
            nearest = 3 * patch // 4
            assert nearest <= away <= patch if direction else away == 0


def test_every_place_is_drawn():
    _, places = draw_pairs(2000, 64, 16, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(places, minlength=8) / 2000, 1 / 8, atol=0.03)


def test_a_hole_is_a_square_around_its_centre():
    views = torch.ones(200, 3, 12, 12)
    holes = draw_holes(200, 12, 7, np.random.default_rng(0))
    found = without(views, torch.from_numpy(holes)).numpy()
    for view, (top, left, bottom, right) in zip(found, holes, strict=True):
        expected = np.ones((3, 12, 12))
        expected[:, top:bottom, left:right] = 0
        np.testing.assert_array_equal(view, expected)
    sides = (found == 0)[:, 0].any(2).sum(1)
    assert set(sides) <= {0, 1, 2, 3, 4, 5, 6} and {0, 6} <= set(sides)  # 7 // 2 either way


def test_nothing_known_costs_log_4_and_log_8():
    kinds, places = torch.tensor([0, 3, 1]), torch.tensor([7, 0, 2])
    assert augmentation(torch.zeros(6, 4), kinds).item() == pytest.approx(np.log(4))
    assert position(torch.zeros(3, 8), places).item() == pytest.approx(np.log(8))


def slow_contrast(vectors: np.ndarray, temperature: float) -> float:
    """The mean over all 2 N rows, i and i + N being of one image."""
    count = len(vectors)
    cosines = np.exp(vectors @ vectors.T / temperature)
    own = [cosines[i, (i + count // 2) % count] for i in range(count)]
    return float(np.mean([-np.log(o / (r.sum() - r[i])) for i, (o, r) in
                          enumerate(zip(own, cosines, strict=True))]))  # fmt: skip


def test_the_loss_is_the_sum_of_contrast_and_two_classifiers(data):
    config = rival("ccd", training={"permutation_weight": 0.5, "position_weight": 2.0})
    method = make_training(config, CPU).method
    method.network.eval()
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    loss, parts = method.loss(batch, slice(0, 8), FIRST)
    kinds, views = method.strong_views(batch, slice(0, 8), 0)
    first, second, places = method.patch_pairs(batch, slice(0, 8), 0)
    with torch.no_grad():
        features = [method.network.backbone(view).double() for view in (*views, first, second)]
        vectors = torch.cat([method.network.head(f.float()) for f in features[:2]]).double()
        told = torch.cat([method.network.kinds(f.float()) for f in features[:2]])
        placed = method.network.places((features[2] - features[3]).float())
    told, placed = told.double().softmax(1), placed.double().softmax(1)
    vectors = (vectors / vectors.norm(dim=1, keepdim=True)).numpy()
    terms = (
        slow_contrast(vectors, 0.2),
        log_loss(np.tile(kinds, 2), told.numpy(), labels=range(4)),
        log_loss(places, placed.numpy(), labels=range(8)),
    )
    assert parts[:3].tolist() == pytest.approx(terms, rel=1e-5)
    assert loss.item() == pytest.approx(terms[0] + 0.5 * terms[1] + 2 * terms[2], rel=1e-5)
    assert parts[3].item() == pytest.approx(np.mean(told.argmax(1).numpy() == np.tile(kinds, 2)))


def test_both_views_are_of_the_image_whose_halves_changed(data):
    """Whole images, neither flipped nor coloured: what is left are the halves."""
    plain = {"scale": [1.0, 1.0], "flip_p": 0.0, "jitter_p": 0.0, "grey_p": 0.0, "cutout": 0}
    config = rival("ccd", views=plain)
    method = make_training(config, CPU).method
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    kinds, views = method.strong_views(batch, slice(0, 8), 0)
    for image, kind, *seen in zip(batch.images.numpy(), kinds, *views, strict=True):
        expected = (slow_cut_perm(image, int(kind)) / 255 - 0.5) / 0.25
        for view in seen:
            np.testing.assert_allclose(view.permute(1, 2, 0), expected, atol=1e-4)


def test_it_learns_to_tell_the_halves(tmp_path):
    """Of images that are red above and green on the left; without holes and changed colours."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (24, 16, 16, 3), dtype=np.uint8)
    images[:, :8, :, 0] += 190
    images[:, :, :8, 1] += 190
    write_packed(tmp_path / "shapes" / "train-16px", images, dataset="shapes", split="train")
    config = rival(
        "ccd",
        training={"epochs": 60, "lr_base": 1.0, "temperature": 1.0},
        views={"jitter_p": 0.0, "grey_p": 0.0, "scale": [0.9, 1.0], "flip_p": 0.0, "cutout": 0},
        backbone={"zero_init_last": False},
    )
    sources, run = open_sources(config, tmp_path, CPU), make_training(config, CPU)
    schedule = make_schedule(config, len(sources))
    told = []
    for step in range(schedule.steps):
        train_step(run, schedule, sources.batch(step, schedule.steps_per_epoch, 8), 8)
        told.append(run.sums.tolist())
        run.sums.zero_()
    permutation = np.array(told)[:, 2]
    assert permutation[:3].mean() > 1.2 and permutation[-12:].mean() < 0.6


def test_patches_and_holes_that_do_not_fit_are_refused_before_planning():
    faults = dict(rival("ccd", views={"patch": 9, "cutout": 17}).faults(24))
    assert "9 is more than views.size 16 allows: write 8 at most." in faults["views.patch"]
    assert "write 16 at most" in faults["views.cutout"]
    with pytest.raises(UserError, match=r"position_weight"):
        rival("ccd", training={"position_weight": -1.0})
