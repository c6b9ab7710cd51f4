"""Fine-tuning: the loss against scikit-learn, which labels are used, what is left."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from support.other_methods import FINETUNE, MOCO, run_of
from support.packed import write_packed
from support.training import read_log

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.evaluation.features import extract
from ssl_ood.methods.base import Batch, Moment, load_model
from ssl_ood.training.sources import open_sources
from ssl_ood.training.trainer import make_training, train
from ssl_ood.views.render import draw, render

CPU = torch.device("cpu")


@pytest.fixture
def labelled(pack, tmp_path):
    """24 images whose brightness is their label."""
    labels = np.arange(24) % 2
    images = pack("shapes", "train", 24) // 3
    images += (150 * labels)[:, None, None, None].astype(np.uint8)
    folder = tmp_path / "data" / "shapes" / "train-16px"
    write_packed(folder, images, labels, dataset="shapes", split="train")
    return tmp_path / "data"


def test_the_loss_is_scikit_learns(labelled):
    config = run_of(FINETUNE)
    method = make_training(config, CPU).method
    method.network.eval()
    images = open_sources(config, labelled, CPU).images.take(np.arange(8))
    labels = torch.arange(8) % 2
    loss, accuracy = method.loss(Batch(images, labels), slice(2, 8), Moment(0, 0, 1.0, 1.0))
    spec = config.views.spec
    parameters = draw(spec, 8, 16, 16, stream(0, "views", "labelled", 0))
    logits = method.network(render(images, parameters, spec))[2:, 0]
    p = torch.sigmoid(logits.double()).detach().numpy()
    assert loss.item() == pytest.approx(log_loss(labels[2:], p, labels=[0, 1]), rel=1e-5)
    assert accuracy.item() == pytest.approx(np.mean((p > 0.5) == labels[2:].numpy()))


def test_labels_are_learned_and_the_features_are_the_logits(labelled, tmp_path):
    config = run_of(FINETUNE, training={"epochs": 20})
    train(config, labelled, tmp_path / "run", tmp_path / "c", device=CPU)
    log = read_log(tmp_path / "run")
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert log[-1]["accuracy"] > 0.9
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    packed = labelled / "shapes" / "train-16px"
    features = extract(model, np.load(packed / "images.npy"), CPU)
    assert features.shape == (24, 1)
    labels = np.load(packed / "labels.npy")
    assert features[labels == 1].min() > features[labels == 0].max()


@pytest.mark.parametrize("seed", [0, 1])
def test_fewer_labels_are_part_of_more(labelled, seed):
    def rows(**training):
        config = run_of(FINETUNE, seed=seed, training=training)
        return open_sources(config, labelled, CPU).rows.tolist()

    few, more, every = rows(labels=8), rows(labels=16), rows()
    assert len({*few}) == 8
    assert {*few} < {*more} < {*every} == {*range(24)}
    assert rows(labels=8) == few


def test_every_epoch_shows_each_labelled_image_once_with_its_label(labelled):
    config = run_of(FINETUNE, training={"labels": 16})
    sources = open_sources(config, labelled, CPU)
    labels = np.load(labelled / "shapes" / "train-16px" / "labels.npy")
    for epoch in range(2):
        batches = [sources.batch(2 * epoch + i, 2, 8) for i in range(2)]
        seen = torch.cat([b.images for b in batches])
        bright = (seen.float().mean((1, 2, 3)) > 110).long()
        assert torch.equal(bright, torch.cat([b.labels for b in batches]))
        assert len(seen.flatten(1).unique(dim=0)) == 16
        assert bright.sum() == labels[sources.rows].sum()


def test_the_rest_of_an_epoch_is_a_smaller_batch(labelled, tmp_path):
    """As PyTorch's DataLoader has it: of 100 labels, batches of 64 would leave out a third."""
    config = run_of(FINETUNE, training={"labels": 20, "epochs": 2})
    sources = open_sources(config, labelled, CPU)
    batches = [sources.batch(step, 3, 8) for step in range(6)]
    assert [len(b) for b in batches] == [len(b.labels) for b in batches] == [8, 8, 4] * 2
    for epoch in (batches[:3], batches[3:]):
        assert len(torch.cat([b.images for b in epoch]).flatten(1).unique(dim=0)) == 20
    train(config, labelled, tmp_path / "run", tmp_path / "c", device=CPU)
    told = json.loads((tmp_path / "run" / "train.json").read_text())
    assert (told["steps"], told["steps_per_epoch"]) == (6, 3)
    assert told["images_per_second"] == pytest.approx(40 / told["seconds"])


def test_a_rest_of_one_image_is_refused(labelled, tmp_path):
    config = run_of(FINETUNE, training={"labels": 17})
    with pytest.raises(UserError, match="leaves one of 17 images for the last batch"):
        train(config, labelled, tmp_path / "run", tmp_path / "c", device=CPU)


def test_more_labels_than_images_are_refused(labelled, tmp_path):
    config = run_of(FINETUNE, training={"labels": 25})
    with pytest.raises(
        UserError, match=r"training\.labels 25 is more than the 24 images of shapes"
    ):
        train(config, labelled, tmp_path / "run", tmp_path / "c", device=CPU)


def test_labels_beside_normal_and_abnormal_are_refused(data, tmp_path):
    with pytest.raises(UserError, match="shapes/train has labels beside 0"):
        train(run_of(FINETUNE), data, tmp_path / "run", tmp_path / "c", device=CPU)


def test_it_starts_from_a_contrastive_run(labelled, tmp_path):
    train(run_of(MOCO), labelled, tmp_path / "moco", tmp_path / "c", device=CPU)
    weights = tmp_path / "moco" / "model.safetensors"
    started = make_training(run_of(FINETUNE), CPU, weights).method.network.backbone
    encoder = load_model(run_of(MOCO), weights, CPU).network.backbone
    found, expected = started.state_dict(), encoder.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
