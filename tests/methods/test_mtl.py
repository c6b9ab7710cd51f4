"""Shifting transformation learning: its transformations, its sum of losses and its ensemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import log_loss
from support.rivals import rival

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.features import embed
from ssl_ood.evaluation.scores.classifiers import transformations
from ssl_ood.methods.base import Moment, load_model
from ssl_ood.methods.mtl.settings import TRANSFORMATIONS
from ssl_ood.methods.mtl.transforms import transformed
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training, train

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)
WEIGHTS = {"rotation": 1.0, "permutation": 2.0, "blur": 0.25}


def slow(name: str, view: np.ndarray, kind: int) -> np.ndarray:
    """One (C, S, S) view given one kind, by NumPy and SciPy."""
    if name == "rotation":
        return np.rot90(view, kind, (1, 2))
    if name == "permutation":
        half = view.shape[1] // 2
        halves = np.r_[half : 2 * half, 0:half]
        view = view[:, halves] if kind in (2, 3) else view
        return view[:, :, halves] if kind in (1, 3) else view
    if kind == 0:
        return view
    # SciPy's `mirror` reflects without repeating the border; its window ends where it is told to.
    return np.stack([gaussian_filter(c, float(kind), mode="mirror", radius=RADIUS) for c in view])


RADIUS = 6  # of Gaussians of up to 2 pixels, as the views of all methods have it: three of them


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_every_view_is_given_its_kind(name):
    from ssl_ood.views.colours import blur_radius

    assert blur_radius(2.0) == RADIUS
    views = np.random.default_rng(0).normal(size=(12, 3, 16, 16))
    kinds = np.arange(12) % TRANSFORMATIONS[name]
    found = transformed(name, torch.from_numpy(views), torch.from_numpy(kinds)).numpy()
    for view, kind, given in zip(views, kinds, found, strict=True):
        np.testing.assert_allclose(given, slow(name, view, kind), atol=1e-9)
    np.testing.assert_array_equal(found[0], views[0])


def test_the_loss_is_the_weighted_sum_of_its_tasks(data):
    method = make_training(rival("mtl"), CPU).method
    network = method.network.eval()
    batch = open_sources(rival("mtl"), data, CPU).batch(0, 3, 8)
    loss, parts = method.loss(batch, slice(0, 8), FIRST)
    copies, kinds = method.copies_of(batch, slice(0, 8), 0)
    expected, told = [], []
    with torch.no_grad():
        for name, weight in WEIGHTS.items():
            view = method.views_of(batch, slice(0, 8), name, 0).numpy()
            own = [slow(name, v, k) for v, k in zip(view, kinds[name].tolist(), strict=True)]
            np.testing.assert_allclose(copies[name], np.stack(own), atol=1e-4)
            p = network.tasks[name](network.backbone(copies[name])).double().softmax(1).numpy()
            right = kinds[name].numpy()
            expected.append((weight, log_loss(right, p, labels=range(TRANSFORMATIONS[name]))))
            told.append(np.mean(p.argmax(1) == right))
    assert parts[1].item() == pytest.approx(np.mean([value for _, value in expected]), rel=1e-5)
    assert parts[2].item() == pytest.approx(np.mean(told))
    total = 0.5 * parts[0].item() + sum(weight * value for weight, value in expected)
    assert loss.item() == pytest.approx(total, rel=1e-5)


def test_only_the_chosen_transformations_have_a_head():
    chosen = rival("mtl", training={"transformations": {"blur": 1.0}})
    assert list(make_training(chosen, CPU).method.network.tasks) == ["blur"]
    assert chosen.options.passes(0) == 9 and rival("mtl").options.passes(0) == 15


def test_the_score_is_the_ensemble_of_the_heads_over_all_copies(data, tmp_path):
    config = rival("mtl")
    train(config, data, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    images = np.load(data / "shapes" / "train-16px" / "images.npy")[:5]
    found = embed(model, "transformations", images, CPU)
    assert found.shape == (5, 3) and np.isfinite(found).all()
    views = model.views(torch.from_numpy(images)).numpy()
    scores = transformations(torch.from_numpy(found), torch.from_numpy(found))
    for view, score in zip(views, scores, strict=True):
        of_tasks = []
        for name, count in TRANSFORMATIONS.items():
            copies = np.stack([slow(name, view, kind) for kind in range(count)])
            with torch.no_grad():
                features = model.network.backbone(torch.from_numpy(copies.copy()))
                p = model.network.tasks[name](features).double().softmax(1).numpy()
            of_tasks.append(np.mean([np.log(p[kind, kind]) for kind in range(count)]))
        assert score.item() == pytest.approx(-np.mean(of_tasks), rel=1e-4)


@pytest.mark.parametrize("value", [{}, {"shear": 1.0}, {"blur": 0.0}])
def test_transformations_that_are_none_or_unknown_are_refused(value):
    with pytest.raises(UserError, match=r"training\.transformations"):
        rival("mtl", training={"transformations": value})
