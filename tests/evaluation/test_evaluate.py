"""The stages score and metrics on small features, through the command line."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation import commands as evaluation_commands

TAUS = [0.02, 0.04]
OOD = {"near": 0.4, "far": 1.5, "cut": 0.8}


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    evaluation_commands.add_parsers(parser.add_subparsers())
    options = parser.parse_args([str(a) for a in arguments])
    options.run(options)


@pytest.fixture
def case(tmp_path):
    """Features of three classes on a sphere and three OOD sets; config and paths."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.standard_normal((3, 16))
    index, arrays = {}, {}

    def add(dataset, split, role, features, labels):
        name = f"{dataset}-{split}"
        np.save(tmp_path / f"{name}.npy", features.astype(np.float32))
        np.save(tmp_path / f"{name}-labels.npy", labels)
        index[name] = {
            "dataset": dataset, "split": split, "role": role, "features": f"{name}.npy",
            "labels": f"{name}-labels.npy", "count": len(labels),
        }  # fmt: skip
        arrays[name] = features.astype(np.float32)

    for split, n in (("train", 300), ("test", 80)):
        labels = rng.integers(0, 3, n)
        add("home", split, split, centres[labels] + 0.7 * rng.standard_normal((n, 16)), labels)
    for name, shift in OOD.items():
        where = centres[rng.integers(0, 3, 60)] + shift * rng.standard_normal((60, 16))
        add(name, "test", "ood", where + shift, np.full(60, -1))
    config = {
        "run": "natural-home-none-base-seed0", "study": "natural", "in_distribution": "home",
        "method": "dino", "strategy": "none", "variant": "base", "seed": 0,
        "ood": [{"dataset": d, "split": "test", "photographs": d == "cut"} for d in OOD],
        "evaluation": {
            "tau": 0.04, "taus": TAUS, "knn": 10, "knn_temperature": 0.07, "confidence": 0.95,
            "scores": ["cosine_tau", "cosine_max", "mahalanobis"],
            "sensitivity": {"max_share": 0.2},
        },
    }  # fmt: skip
    soft = {"occupied": 7, "entropy_of_mean": 2.0, "mean_entropy": 0.5, "log_k": 3.0}
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "soft.json").write_text(json.dumps(soft))
    return tmp_path, config, arrays


def score(folder):
    run_command("score", "--config", folder / "config.json", "--features", folder / "index.json",
                "--output", folder / "s.parquet", "--device", "cpu")  # fmt: skip


def both_stages(folder):
    score(folder)
    run_command("metrics", "--config", folder / "config.json", "--scores", folder / "s.parquet",
                "--soft-classes", folder / "soft.json", "--output", folder / "m.csv")  # fmt: skip
    return pd.read_parquet(folder / "s.parquet"), pd.read_csv(folder / "m.csv")


def test_metrics_of_a_run_agree_with_scikit_learn_from_the_features(case):
    folder, _, arrays = case
    table, metrics = both_stages(folder)
    assert list(table.columns[:7]) == [
        "set", "dataset", "role", "index", "label", "knn_label", "knn_weighted_label",
    ]  # fmt: skip
    train, test = unit(arrays["home-train"]), unit(arrays["home-test"])

    def slow(features, tau):
        return -np.log(np.exp(unit(features).astype(float) @ train.T / tau).mean(1))

    areas = {}
    for name in OOD:
        for tau in TAUS:
            values = np.r_[slow(test, tau), slow(arrays[f"{name}-test"], tau)]
            areas[name, tau] = roc_auc_score(np.r_[np.zeros(80), np.ones(60)], values)
    found = metrics[(metrics.metric == "auroc") & (metrics.score == "cosine_tau")]
    for row in found[found.ood.isin(OOD)].itertuples():
        assert row.value == pytest.approx(areas[row.ood, row.tau], abs=1e-3)
        assert row.ci_low < row.value < row.ci_high
        assert (row.n_in, row.n_out) == (80, 60)
    average = found.set_index(["ood", "tau"]).value
    for tau in TAUS:
        mean = np.mean([average[name, tau] for name in OOD])
        assert average["average", tau] == pytest.approx(mean, abs=1e-12)
        honest = (average["near", tau] + average["far", tau]) / 2
        assert average["average_without_photographs", tau] == pytest.approx(honest, abs=1e-12)
    knn = KNeighborsClassifier(10, metric="cosine")
    labels = np.load(folder / "home-train-labels.npy")
    expected = knn.fit(arrays["home-train"], labels).score(
        arrays["home-test"], np.load(folder / "home-test-labels.npy")
    )
    accuracy = metrics[metrics.metric == "knn_accuracy"].value.item()
    assert 0.5 < accuracy == pytest.approx(expected, abs=2 / 80)  # ties of votes may differ
    assert metrics[metrics.metric == "occupied_soft_classes"].value.item() == 7
    assert set(metrics.metric) == {
        "auroc", "fpr95", "aupr", "sensitivity", "knn_accuracy", "knn_accuracy_weighted",
        "occupied_soft_classes", "entropy_of_mean", "mean_entropy", "log_k",
    }  # fmt: skip


def test_sensitivity_holds_training_images_out_of_the_reference(case):
    folder, _, arrays = case
    table, metrics = both_stages(folder)
    held = table[table.role == "sensitivity_held_out"]
    assert len(held) == 60 and held["index"].is_unique  # a fifth of 300 is less than 80
    assert (table.role == "sensitivity_test").sum() == 80
    train = unit(arrays["home-train"]).astype(float)
    reference = np.delete(train, held["index"], axis=0)
    slow = -np.log(np.exp(train[held["index"]] @ reference.T / 0.04).mean(1))
    np.testing.assert_allclose(held["cosine_tau@0.040"], slow, atol=1e-4)
    assert held.knn_label.isna().all()
    rows = metrics[(metrics.metric == "sensitivity") & (metrics.score == "cosine_tau")]
    assert list(rows.tau) == TAUS and (rows.n_in == 60).all() and (rows.n_out == 80).all()
    again = table[table.role == "sensitivity_test"]["cosine_tau@0.040"]
    expected = roc_auc_score(np.r_[np.zeros(60), np.ones(80)], np.r_[slow, again])
    assert rows[rows.tau == 0.04].value.item() == pytest.approx(expected, abs=1e-3)


def test_the_same_features_give_the_same_bytes(case):
    folder, *_ = case
    both_stages(folder)
    first = (folder / "m.csv").read_bytes()
    both_stages(folder)
    assert (folder / "m.csv").read_bytes() == first


def test_without_labels_there_is_no_knn_accuracy(case):
    folder, *_ = case
    np.save(folder / "home-train-labels.npy", np.full(300, -1))
    _, metrics = both_stages(folder)
    assert not metrics.metric.str.startswith("knn").any()


def test_with_one_label_alone_there_is_no_knn_accuracy(case):
    """A training set of normal images only: every neighbour would vote for normal."""
    folder, *_ = case
    for name in ("train", "test"):
        labels = np.load(folder / f"home-{name}-labels.npy")
        np.save(folder / f"home-{name}-labels.npy", np.zeros_like(labels))
    _, metrics = both_stages(folder)
    assert not metrics.metric.str.startswith("knn").any()


def test_a_missing_ood_set_is_named(case):
    folder, config, _ = case
    config["ood"].append({"dataset": "nowhere", "split": "test"})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="nowhere"):
        score(folder)


def test_features_that_are_not_finite_are_refused_with_the_set_named(case):
    folder, _, arrays = case
    broken = arrays["far-test"].copy()
    broken[3, 2] = np.nan
    np.save(folder / "far-test.npy", broken)
    with pytest.raises(UserError, match="far-test are NaN"):
        score(folder)
    assert not (folder / "s.parquet").exists()


def test_labels_that_do_not_fit_are_refused(case):
    folder, *_ = case
    np.save(folder / "near-test-labels.npy", np.zeros(3, dtype=np.int64))
    with pytest.raises(UserError, match="near-test has 60 features, 3 labels"):
        score(folder)


def changed(folder, config, **what):
    (folder / "config.json").write_text(json.dumps(config | what))


def test_pooled_is_the_union_of_all_ood_images_not_the_mean_over_the_sets(case):
    folder, config, _ = case
    changed(folder, config, ood=config["ood"][:2])  # near and far
    far = np.load(folder / "far-test.npy")[:25]  # sets of unequal size
    np.save(folder / "far-test.npy", far)
    np.save(folder / "far-test-labels.npy", np.full(25, -1))
    index = json.loads((folder / "index.json").read_text())
    index["far-test"]["count"] = 25
    (folder / "index.json").write_text(json.dumps(index))
    table, metrics = both_stages(folder)
    test = table[table.role == "test"].mahalanobis
    out = table[table.role == "ood"].mahalanobis
    labels, values = np.r_[np.zeros(80), np.ones(85)], np.r_[test, out]
    rows = metrics[(metrics.score == "mahalanobis") & (metrics.ood == "pooled")]
    found = rows.set_index("metric")
    assert found.loc["auroc"].value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert found.loc["aupr"].value == pytest.approx(average_precision_score(labels, values))
    fpr, tpr, _ = roc_curve(labels, values, drop_intermediate=False)
    assert found.loc["fpr95"].value == pytest.approx(fpr[tpr >= 0.95].min())
    assert (found.n_in == 80).all() and (found.n_out == 85).all() and len(found) == 3
    assert found.loc["auroc"].ci_low < found.loc["auroc"].value < found.loc["auroc"].ci_high
    one_set = metrics[(metrics.score == "mahalanobis") & (metrics.metric == "auroc")]
    one_set = one_set.set_index("ood").value
    weighted = (60 * one_set["near"] + 25 * one_set["far"]) / 85
    assert one_set["pooled"] == pytest.approx(weighted) != pytest.approx(one_set["average"])


def test_one_ood_set_is_not_pooled(case):
    folder, config, _ = case
    changed(folder, config, ood=config["ood"][:1])
    _, metrics = both_stages(folder)
    assert set(metrics.ood.dropna()) == {"near", "average"}


def test_a_run_without_ood_sets_has_neighbours_and_sensitivity_only(case):
    folder, config, _ = case
    changed(folder, config, ood=[])
    (folder / "soft.json").write_text("{}")
    table, metrics = both_stages(folder)
    assert set(metrics.metric) == {"sensitivity", "knn_accuracy", "knn_accuracy_weighted"}
    assert metrics.ood.isna().all() and set(table.role) == {
        "test", "sensitivity_held_out", "sensitivity_test",
    }  # fmt: skip


def test_no_neighbours_where_none_are_asked_for(case):
    folder, config, _ = case
    changed(folder, config, evaluation=config["evaluation"] | {"knn": 0})
    table, metrics = both_stages(folder)
    assert not metrics.metric.str.startswith("knn").any()
    assert table.knn_label.isna().all() and table.knn_weighted_label.isna().all()


def test_a_fine_tuned_classifier_is_ranked_by_its_output(case):
    folder, config, arrays = case
    for name in arrays:
        np.save(folder / f"{name}.npy", arrays[name][:, :1])
    evaluation = config["evaluation"] | {"scores": ["logit"], "knn": 0}
    changed(folder, config, ood=config["ood"][:1], evaluation=evaluation)
    (folder / "soft.json").write_text("{}")
    _, metrics = both_stages(folder)
    outputs = np.r_[arrays["home-test"][:, 0], arrays["near-test"][:, 0]]
    expected = roc_auc_score(np.r_[np.zeros(80), np.ones(60)], outputs)
    found = metrics[(metrics.metric == "auroc") & (metrics.ood == "near")]
    assert found.value.item() == pytest.approx(expected, abs=1e-12)
    assert found.score.item() == "logit" and pd.isna(found.tau.item())
