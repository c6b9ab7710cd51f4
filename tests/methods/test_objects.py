"""Objects against texture: scrambling and its loss against slow versions, what stays frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from support.packed import write_packed
from support.rivals import rival

from ssl_ood.common.streams import stream
from ssl_ood.evaluation.features import embed
from ssl_ood.evaluation.scores.objects import right_arrangements
from ssl_ood.methods.base import Moment, load_model
from ssl_ood.methods.objects.scramble import blended, scrambled
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training, train
from ssl_ood.views.shifts import permutations

CPU = torch.device("cpu")
FIRST = Moment(0, 0, 1.0, 1.0)


def slow_lines(line, side, band):
    """One line of pixels, every seam a straight line between the pixels beside its band."""
    out = line.copy()
    for seam in range(side, len(line), side):
        first, last = seam - band - 1, seam + band
        for place in range(first + 1, last):
            out[place] = np.interp(place, [first, last], [out[first], out[last]])
    return out


def slow_scramble(view, order, band):
    """(C, S, S): tile by tile, then the rows, then the columns."""
    tiles = round(len(order) ** 0.5)
    side = view.shape[-1] // tiles
    moved = np.empty_like(view)
    for place, source in enumerate(order):
        (row, column), (down, right) = divmod(place, tiles), divmod(source, tiles)
        tile = view[:, down * side : (down + 1) * side, right * side : (right + 1) * side]
        moved[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    if band == 0:
        return moved
    for channel in moved:
        for i, line in enumerate(channel):
            channel[i] = slow_lines(line, side, band)
        for i, line in enumerate(channel.T.copy()):
            channel[:, i] = slow_lines(line, side, band)
    return moved


@given(st.integers(2, 4), st.integers(0, 2), st.integers(0, 1000))  # tiles, band, seed
def test_scrambling_is_that_of_the_slow_version(tiles, band, seed):
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(2, 3, 6 * tiles, 6 * tiles))
    order = permutations(2, tiles**2, rng)
    found = scrambled(torch.from_numpy(views), order, band).numpy()
    for view, own, result in zip(views, order, found, strict=True):
        np.testing.assert_allclose(result, slow_scramble(view, own, band), atol=1e-12)


def test_whole_images_are_blended_in_the_same_places():
    views = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 12, 12)))
    stay = np.arange(9)[None]
    assert torch.equal(scrambled(views, stay, 1), blended(views, 3, 1))
    changed = blended(views, 3, 1)[0, 0] != views[0, 0]
    bands = np.isin(np.arange(12), [3, 4, 7, 8])
    np.testing.assert_array_equal(changed, bands[:, None] | bands[None])
    assert torch.equal(blended(torch.ones(1, 1, 12, 12), 3, 1), torch.ones(1, 1, 12, 12))


def test_the_loss_is_of_every_image_and_its_scrambled_copy(data):
    config = rival("objects")
    method = make_training(config, CPU).method
    batch = open_sources(config, data, CPU).batch(0, 3, 8)
    loss, (accuracy,) = method.loss(batch, slice(0, 8), FIRST)
    views = method.views_of(batch, slice(0, 8), "view", 0).double().numpy()
    order = permutations(8, 16, stream(config.seed, "arrangements", 0))
    shown = [slow_scramble(v, np.arange(16), 1) for v in views]
    shown += [slow_scramble(v, o, 1) for v, o in zip(views, order, strict=True)]
    with torch.no_grad():
        logits = method.network(torch.from_numpy(np.stack(shown)).float()).double()
    right = np.repeat([0, 1], 8)
    assert loss.item() == pytest.approx(log_loss(right, logits.softmax(1)), rel=1e-5)
    assert accuracy.item() == pytest.approx(np.mean(logits.argmax(1).numpy() == right))


def test_right_decisions_by_hand():
    told = torch.tensor([[-1.0, 2.0], [-1.0, -2.0], [3.0, 0.5], [3.0, -0.5]])
    assert right_arrangements(told, told).tolist() == [1.0, 0.5, 0.5, 0.0]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Handwritten digits of 16 pixels to train on, and other ones."""
    drawn = np.kron(load_digits().images[:400] * (255 / 16), np.ones((2, 2)))
    images = drawn.astype(np.uint8)[..., None].repeat(3, 3)
    folder = tmp_path_factory.mktemp("digits")
    place = folder / "shapes" / "train-16px"
    write_packed(place, images[:320], np.zeros(320, np.int64), dataset="shapes", split="train")
    return folder, images[320:]


def test_on_digits_it_learns_with_the_backbone_as_it_was(digits, tmp_path):
    folder, images = digits
    training = {"epochs": 8, "batch_size": 32, "lr_base": 4.0}
    config = rival("objects", training=training, backbone={"channels": [16, 32, 32, 64]})
    before = make_training(config, CPU).method.model_state()
    before = {name: tensor.clone() for name, tensor in before.items()}
    train(config, folder, tmp_path / "run", tmp_path / "checkpoints", device=CPU)
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    after = model.network.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"head.weight", "head.bias"}  # no batch statistic either
    told = torch.from_numpy(embed(model, "arrangements", images, CPU))
    right = right_arrangements(told, told)
    assert set(right.tolist()) <= {0, 0.5, 1} and right.mean() > 0.6
    alone = embed(model, "arrangements", images[30:33], CPU)  # the order is the image's own
    np.testing.assert_allclose(alone, told[30:33], atol=1e-5)


def test_tiles_that_do_not_fit_are_refused_before_planning():
    faults = dict(rival("objects", views={"tiles": 3}).faults(24))
    assert "16 cannot be cut into views.tiles 3 equal parts" in faults["views.size"]
    faults = dict(rival("objects", views={"band": 2}).faults(24))
    assert "leaves nothing of tiles of 4 pixels: lower it" in faults["views.band"]
