"""The search for a recipe: a row for each training, none twice, and a killed one goes on."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from ssl_ood.common.errors import UserError

SETTINGS = {
    "all": {
        "training": {"warmup_epochs": 0, "batch_size": 8, "freeze_last_layer_epochs": 0},
        "views": {"positive": [2, 0], "global_size": 16, "local_size": 8},
        "backbone": {
            "name": "resnet18", "channels": [16, 16, 32, 32], "layers": [1, 1, 1, 1],
            "drop_path_rate": None, "position": None, "cls_token_std": None,
        },
        "head": {"layers": 1, "hidden": 8, "bottleneck": 4, "out": 8},
    },
    "settings": {"one": {}, "other": {"head": {"out": 12}}},
}  # fmt: skip


@pytest.fixture
def search(tmp_path, monkeypatch):
    """A function: calls the search on 24 + 12 images of two classes; returns the rows."""
    import recipes
    from recipe import training

    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for label, name in enumerate(("dark", "light")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(50 * label, 206 + 50 * label, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    monkeypatch.setattr(recipes, "epochs_in", lambda *_: 3)
    monkeypatch.setattr(training, "SPEED_STEPS", 2)

    def run(*arguments):
        paths = {"images": "images", "settings": "settings.yaml", "work": "work"}
        options = [f"--{key}={tmp_path / path}" for key, path in paths.items()]
        output = tmp_path / "rows.csv"
        recipes.main([*options, f"--output={output}", "--size=16", *arguments])
        with open(output, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return run


def test_every_training_has_one_row_and_is_made_once(search, monkeypatch):
    import recipes

    rows = search("--minutes=1")
    assert [row["setting"] for row in rows] == ["one", "other"]
    for row in rows:
        assert (row["epochs"], row["steps"], row["images"]) == ("3", "9", "24")
        assert float(row["cpu_minutes"]) >= 0 and float(row["loss"]) > 0
        better = max(float(row["knn_untrained"]), float(row["knn_untrained_statistics"]))
        assert float(row["gain"]) == pytest.approx(float(row["knn"]) - better, abs=1.5e-4)
        assert json.loads(row["options"])["backbone"]["name"] == "resnet18"
    assert [float(row["log_k"]) for row in rows] == pytest.approx(np.log([8, 12]), abs=1e-4)
    monkeypatch.setattr(recipes, "tried", lambda *_: pytest.fail("it was trained before"))
    assert search("--minutes=1") == rows


def test_a_killed_training_goes_on_at_its_last_epoch_with_the_same_result(search, monkeypatch):
    from recipe import training

    (expected,) = search("one", "--minutes=1")
    real, steps = training.train_step, []

    def killed(run, *arguments):
        steps.append(run.step)
        if len(steps) == 5:
            raise KeyboardInterrupt
        real(run, *arguments)

    monkeypatch.setattr(training, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        search("one", "--minutes=2")
    _, again = search("one", "--minutes=2")
    assert steps == [0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 8]
    for key in ("loss", "entropy_of_output", "knn", "knn_untrained"):
        assert again[key] == expected[key], key


def test_the_time_that_is_given_makes_the_epochs(search, tmp_path):
    import recipes
    from recipe.training import epochs_in

    search("one")
    settings = recipes.run_settings(SETTINGS["all"], 0, 16, 1)
    few, many = (epochs_in(seconds, settings, tmp_path / "work" / "data") for seconds in (1e-9, 60))
    assert few == 1 < many


def test_accuracy_is_scikit_learns(search, tmp_path):
    """Ten neighbours by cosine, each with exp(cos / 0.04) votes."""
    import recipes
    from recipe.training import knn_accuracy

    from ssl_ood.datasets.packed import open_set
    from ssl_ood.evaluation.features import extract
    from ssl_ood.methods.base import Model
    from ssl_ood.training.trainer import make_training

    search("one")
    settings = recipes.run_settings(SETTINGS["all"], 0, 16, 1)
    cpu = torch.device("cpu")
    model = Model(settings, make_training(settings, cpu).method.teacher.eval())
    data = tmp_path / "work" / "data"
    train, test = (open_set(data, settings.packed("real", split)) for split in ("train", "test"))

    def weights(distances):
        return np.exp((1 - distances) / 0.04)

    known = KNeighborsClassifier(10, metric="cosine", weights=weights)
    features = [extract(model, s.images, cpu).astype(np.float64) for s in (train, test)]
    assert all((np.linalg.norm(f, axis=1) > 0).all() for f in features)
    known.fit(features[0], train.labels)
    expected = known.score(features[1], test.labels)
    assert knn_accuracy(model, train, test) == pytest.approx(expected)


def test_an_unknown_setting_is_a_sentence(search):
    with pytest.raises(UserError, match="has no setting three: one, other"):
        search("three")
