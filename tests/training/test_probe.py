"""What is seen of the features of a network in training, and that looking changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.other_methods import FINETUNE, run_of
from support.packed import write_packed
from support.training import read_log

from ssl_ood.evaluation.scores.cosine import cosine_tau
from ssl_ood.measures.metrics import auroc
from ssl_ood.measures.sensitivity import sensitivity
from ssl_ood.methods.base import load_model, method_of
from ssl_ood.training import probe as probing
from ssl_ood.training.probe import ProbePlan, evaluating
from ssl_ood.training.trainer import train

CPU = torch.device("cpu")
EVERY = ProbePlan(epochs=1, images=40, share=0.5)


@pytest.fixture
def more_images(data, pack):
    pack("shapes", "train", 60)
    return data


def run(config, data, folder, **options):
    train(config, data, folder, folder / "c", device=CPU, **options)
    return load_file(folder / "model.safetensors")


def test_looking_changes_no_bit_of_the_weights(tiny, more_images, tmp_path):
    """Nor of what is logged of the training."""
    config = tiny(training={"epochs": 1}, backbone={"drop_path_rate": 0.2})
    plain = run(config, more_images, tmp_path / "plain")
    seen = run(config, more_images, tmp_path / "seen", probe=EVERY)
    assert plain.keys() == seen.keys()
    assert all(torch.equal(plain[name], seen[name]) for name in plain)
    for kind in ("signs", "epoch"):
        lines = [read_log(tmp_path / name, kind) for name in ("plain", "seen")]
        for line in (*lines[0], *lines[1]):
            line.pop("seconds", None)
        assert lines[0] == lines[1]
    assert not read_log(tmp_path / "plain", "probe")
    assert [line["step"] for line in read_log(tmp_path / "seen", "probe")] == [0, 7]


def test_what_is_seen_is_what_the_model_that_is_kept_gives(tiny, more_images, tmp_path):
    """By hand, from the weights that the training wrote: its last look was at those."""
    config = tiny(training={"epochs": 1})
    run(config, more_images, tmp_path / "run", probe=EVERY)
    seen = read_log(tmp_path / "run", "probe")[-1]
    model = load_model(config, tmp_path / "run" / "model.safetensors", CPU)
    packed = {s: more_images / f"shapes/{s}-16px" for s in ("train", "test")}
    features, labels = {}, np.load(packed["train"] / "labels.npy")
    for split, folder in packed.items():
        images = torch.from_numpy(np.load(folder / "images.npy"))
        with torch.no_grad():
            features[split] = model.features(model.views(images)).numpy()
    order = probing.stream(0, "probe").permutation(60)
    held, reference = order[:10], order[10:30]
    unit = {k: v / np.linalg.norm(v, axis=1, keepdims=True) for k, v in features.items()}
    cosines = unit["train"][held] @ unit["train"][reference].T
    right = 0
    for row, own in zip(cosines, labels[held], strict=True):
        nearest = np.argsort(-row)[:10]
        votes = np.bincount(labels[reference][nearest], np.exp(row[nearest] / 0.04), minlength=3)
        right += votes.argmax() == own
    assert seen["knn_accuracy"] == pytest.approx(right / 10)
    score = {
        "held": -np.exp(cosines.astype(float) / 0.04).mean(1),
        "test": -np.exp((unit["test"] @ unit["train"][reference].T).astype(float) / 0.04).mean(1),
    }
    assert seen["sensitivity"] == pytest.approx(auroc(score["held"], score["test"]), abs=0.011)


def test_sensitivity_is_that_of_the_score_of_equation_6_1():
    rng = torch.Generator().manual_seed(0)
    held, test, reference = (torch.randn(n, 5, generator=rng) for n in (30, 40, 300))
    scores = [cosine_tau(part, reference, [0.04])[:, 0].numpy() for part in (held, test)]
    assert sensitivity(held, test, reference, 0.04) == pytest.approx(auroc(*scores), abs=1e-9)
    assert sensitivity(reference[:30], -reference[:30], reference, 0.04) > 0.9


def test_without_labels_or_a_test_set_the_rest_is_seen(tiny, more_images, tmp_path, capsys):
    folder = more_images / "shapes" / "train-16px"
    images = np.load(folder / "images.npy")
    write_packed(folder, images, dataset="shapes", split="train")  # every label is -1
    config = tiny(training={"epochs": 1})
    run(config, more_images, tmp_path / "run", probe=EVERY)
    assert set(read_log(tmp_path / "run", "probe")[0]) == {"kind", "step", "epoch", "sensitivity"}
    (more_images / "shapes" / "test-16px" / "meta.json").unlink()
    run(config, more_images, tmp_path / "other", probe=EVERY)
    assert read_log(tmp_path / "other", "probe") == []
    assert "the sensitivity is not followed" in capsys.readouterr().err


def test_a_resumed_training_has_looked_at_the_same_steps(tiny, more_images, tmp_path):
    config = tiny(training={"epochs": 1})
    run(config, more_images, tmp_path / "run", probe=EVERY)
    before = read_log(tmp_path / "run", "probe")
    run(config, more_images, tmp_path / "run", probe=EVERY)  # at its end: nothing is trained
    assert read_log(tmp_path / "run", "probe") == before


@given(
    st.integers(0, 2000), st.integers(1, 10**6), st.floats(0.5, 50), st.floats(0.001, 0.5),
    st.integers(1, 20), st.integers(1, 500),
)  # fmt: skip
def test_all_looks_cost_no_more_than_their_share(images, per_epoch, passes, share, epochs, trained):
    """Also the first, of what the training starts from, and the last."""
    every, count = ProbePlan(epochs, images, share).fit(per_epoch, passes, trained)
    assert every >= epochs and count <= images
    looks = len({*range(0, trained, every), trained})
    assert looks * count <= share * per_epoch * passes * trained * (1 + 1e-9)


@pytest.mark.parametrize(
    ("per_epoch", "passes", "trained", "expected"),
    [
        (50000, 23.0, 500, (1, 2000)),
        (4000, 14.0, 7, (1, 980)),
        (300, 14.0, 20, (7, 420)),
        (300, 14.0, 4, (4, 168)),
    ],
    ids=["thesis", "demo", "small", "smallest"],
)
def test_fewer_images_first_then_fewer_looks(per_epoch, passes, trained, expected):
    assert ProbePlan().fit(per_epoch, passes, trained) == expected


def test_the_work_of_a_step_is_that_of_its_views(tiny):
    """Two global views of 16 pixels and two local of 8; one of each of a negative."""
    options = tiny().options
    assert options.passes(0) == pytest.approx(3 * 2.5 + 2)
    assert options.passes(1) == pytest.approx(3 * (2.5 + 1.25) + 2)
    assert options.work(0) == pytest.approx(options.passes(0) / options.passes(1))


def test_modules_are_left_in_the_mode_that_they_were_in():
    network = torch.nn.Sequential(
        torch.nn.BatchNorm1d(2), torch.nn.Dropout(), torch.nn.Linear(2, 2)
    )
    network[1].eval()
    before = network[0].running_mean.clone()
    with evaluating(network):
        network(torch.randn(4, 2))
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert torch.equal(network[0].running_mean, before)


def test_a_classifier_is_not_looked_at():
    """Its feature is its one logit."""
    config = run_of(FINETUNE)
    assert method_of(config)(config, CPU).probed() is None
    assert not math.isnan(config.options.passes(0))
