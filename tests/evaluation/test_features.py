"""Features of a trained run, and the soft-classes of its test images."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json, write_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import load_tensors, save_tensors, sealed
from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation import features, sets
from ssl_ood.evaluation.evaluate import Places, Task, evaluate_run
from ssl_ood.evaluation.features import extract
from ssl_ood.evaluation.measure import OODSet
from ssl_ood.evaluation.measurements import read_measurements
from ssl_ood.evaluation.soft_classes import occupied_around_mean, soft_classes
from ssl_ood.methods.base import load_model
from ssl_ood.methods.dino.loss import teacher_probabilities
from ssl_ood.study.settings import Evaluation
from ssl_ood.training.trainer import train

CPU = torch.device("cpu")


@pytest.fixture
def extracted(tiny, data, pack, tmp_path):
    """A function: extracts the features of the untrained tiny run; returns the names of the sets
    whose images went through the network."""
    pack("noise", "test", 7, seed=5)
    pack("dots", "all", 300)  # more than a batch
    config = tiny(training={"epochs": 0}, negatives=[])
    train(config, data, tmp_path / "run", tmp_path / "checkpoints", device=CPU)

    def run(ood=("noise/test",), weights=tmp_path / "run" / "model.safetensors", **more):
        seen = []

        def spy(model, images, device, precision):
            seen.append(len(images))
            return extract(model, images, device, precision)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sets, "extract", spy)
            task = Task(
                config, tuple(OODSet(*name.split("/")) for name in ood), evaluation_of(**more)
            )
            scores, measured = (tmp_path / f"{name}.parquet" for name in ("scores", "measured"))
            places = Places(data, tmp_path / "features", scores, measured)
            evaluate_run(task, weights, places, CPU)
        return seen

    run.config, run.folder = config, tmp_path / "features"
    run.weights = tmp_path / "run" / "model.safetensors"
    return run


def evaluation_of(precision="float32"):
    return read_settings(
        Evaluation,
        {
            "precision": precision, "scores": ["cosine_max"], "tau": 0.04, "taus": [0.04],
            "knn": 1, "knn_temperature": 0.04, "confidence": 0.95,
            "soft_class_temperature": 0.01, "sensitivity": {"max_share": 0.2},
        },
        "evaluation",
    )  # fmt: skip


def test_soft_classes_by_hand():
    # Two images, three soft-classes; temperature 0.5 and a centre of the middle one.
    logits = np.array([[0.5, 0.2, 0.0], [0.0, 0.2, 0.0]], np.float32)
    centre = torch.tensor([0.0, 0.2, 0.0])
    e = math.e
    first, second = np.array([e, 1, 1]) / (e + 2), np.full(3, 1 / 3)
    mean, summary = soft_classes(teacher_probabilities(torch.from_numpy(logits), centre, 0.5))
    expected = (first + second) / 2
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert summary["occupied"] == 1  # only the first is above 1/3
    assert summary["soft_classes"] == 3
    assert summary["log_k"] == pytest.approx(math.log(3))
    assert summary["entropy_of_mean"] == pytest.approx(-(expected * np.log(expected)).sum())
    entropy = (-(first * np.log(first)).sum() + math.log(3)) / 2
    assert summary["mean_entropy"] == pytest.approx(entropy, rel=1e-6)


def test_all_soft_classes_are_occupied_alike_by_different_images():
    """One image a soft-class: each has exactly the average probability, none is above it."""
    probabilities = teacher_probabilities(torch.eye(4), torch.zeros(4), 0.01)
    mean, summary = soft_classes(probabilities)
    np.testing.assert_allclose(mean, np.full(4, 0.25), rtol=1e-6)
    assert summary["entropy_of_mean"] == pytest.approx(math.log(4))
    assert summary["mean_entropy"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("block", [2, 100])
def test_training_images_are_counted_around_their_own_mean(monkeypatch, block):
    """Term by term; the centre and the temperature of the training have no part in it."""
    logits = np.random.default_rng(0).normal(size=(9, 6)) * [1, 1, 1, 5, 1, 1]
    centre, total = logits.mean(0), np.zeros(6)
    for row in logits:
        powers = np.exp((row - centre) / 0.3 - ((row - centre) / 0.3).max())
        total += powers / powers.sum()
    expected = int((total / 9 > 1 / 6).sum())
    assert 0 < expected < 6
    model = SimpleNamespace(soft_class_logits=lambda block: block)
    monkeypatch.setitem(features.BATCH, "cpu", block)
    assert occupied_around_mean(model, logits.astype(np.float32), CPU, 0.3) == expected
    one = np.zeros((4, 6), np.float32)  # all images alike: every class has the average, none more
    assert occupied_around_mean(model, one, CPU, 0.01) == 0


def test_features_are_those_of_the_network_on_whole_images(extracted, data):
    extracted()
    model = load_model(extracted.config, extracted.weights, CPU)
    images = np.load(data / "noise" / "test-16px" / "images.npy")
    pixels = (images.astype(np.float64) / 255 - 0.5) / 0.25
    with torch.inference_mode():
        expected = model.network.backbone(torch.tensor(pixels).float().permute(0, 3, 1, 2))
    found = np.load(extracted.folder / "noise-test.npy")
    assert found.dtype == np.float32
    assert found.shape == (7, 16)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_scores_and_measurements_are_of_every_set(extracted, tmp_path):
    extracted(["noise/test", "dots/all"])
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    counts = scores[scores.role.isin(["test", "ood"])].groupby("set").size().to_dict()
    assert counts == {"shapes-test": 10, "noise-test": 7, "dots-all": 300}
    measured = read_measurements([tmp_path / "measured.parquet"])
    assert {"noise", "dots", "average", "pooled", ""} == set(measured.dataset)
    assert set(measured.run) == {extracted.config.run}
    assert {"occupied_soft_classes", "occupied_soft_classes_train"} <= set(measured.metric)
    probabilities = np.load(extracted.folder / "soft_classes.npy")
    assert probabilities.sum() == pytest.approx(1)


def test_batches_are_halved_until_they_fit_and_do_not_change_the_features(
    extracted, data, monkeypatch, capsys
):
    extracted()
    model = load_model(extracted.config, extracted.weights, CPU)
    images = np.load(data / "shapes" / "test-16px" / "images.npy")
    whole, tried = extract(model, images, CPU), []

    def small_device(largest):
        def made(network, views):
            tried.append(len(views))
            if len(views) > largest:
                raise torch.OutOfMemoryError
            return network.backbone(views)

        monkeypatch.setattr(type(model.network), "features", made)

    small_device(3)
    monkeypatch.setitem(features.BATCH, "cpu", 10)
    np.testing.assert_allclose(extract(model, images, CPU), whole, rtol=1e-4, atol=1e-5)
    assert tried == [10, 5, 3, 3, 3, 1]
    assert "out of memory: 3 images at a time from here on" in capsys.readouterr().err
    small_device(0)
    with pytest.raises(UserError, match="too little memory for the features of a single image"):
        extract(model, images, CPU)


def test_bfloat16_gives_the_same_features_up_to_its_rounding(extracted):
    assert extracted() == [24, 10, 7]
    exact = np.load(extracted.folder / "noise-test.npy")
    assert extracted(precision="bfloat16") == [24, 10, 7]
    rounded = np.load(extracted.folder / "noise-test.npy")
    assert rounded.dtype == np.float32
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    assert ((exact * rounded).sum(1) / norms).min() > 1 - 2**-8  # bfloat16 has 8 bits
    assert not np.array_equal(exact, rounded)


def test_a_new_ood_set_costs_its_own_images_only(extracted):
    assert extracted() == [24, 10, 7]
    assert extracted() == []
    assert extracted(["noise/test", "dots/all"]) == [300]
    assert extracted(["dots/all"]) == []


def test_other_images_of_a_set_are_extracted_again(extracted, pack):
    extracted()
    pack("noise", "test", 7, seed=6)
    assert extracted() == [7]


def test_other_weights_extract_everything_again(extracted):
    """As the training of a run gives them on another device, say."""
    extracted()
    before = np.load(extracted.folder / "noise-test.npy")
    tensors, metadata = load_tensors(extracted.weights)
    save_tensors({k: v + 0.01 for k, v in tensors.items()}, extracted.weights, metadata)
    summary = extracted.weights.with_name("train.json")
    told = read_json(summary) | {"weights_sha256": sha256_of(extracted.weights)}
    write_json(summary, sealed(told))
    assert extracted() == [24, 10, 7]
    assert not np.allclose(np.load(extracted.folder / "noise-test.npy"), before)


@pytest.mark.parametrize("lost", ["noise-test.npy", "noise-test.json", "soft_classes.npy"])
def test_a_lost_file_is_made_again(extracted, lost):
    extracted()
    before = (extracted.folder / lost).read_bytes()
    (extracted.folder / lost).unlink()
    assert extracted() == ([7] if "noise" in lost else [])
    assert (extracted.folder / lost).read_bytes() == before


def test_a_damaged_features_file_is_extracted_again(extracted):
    extracted()
    path = extracted.folder / "noise-test.npy"
    before = path.read_bytes()
    damaged = np.load(path)
    damaged[:] = 0
    np.save(path, damaged)
    assert extracted() == [7]
    assert path.read_bytes() == before
