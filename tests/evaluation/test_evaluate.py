"""Scores and measurements of a run from small features."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier

from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation.measure import OODSet, measure
from ssl_ood.evaluation.measurements import as_frame, read_measurements, write_measurements
from ssl_ood.evaluation.score_files import read_scores, write_scores
from ssl_ood.evaluation.score_table import score_sets
from ssl_ood.evaluation.sets import EvaluatedSet
from ssl_ood.study.settings import Evaluation

TAUS = [0.02, 0.04]
OOD = {"near": 0.4, "far": 1.5, "cut": 0.8}
IDENTITY = {
    "run": "natural-home-none-base-seed0", "study": "natural", "in_distribution": "home",
    "method": "dino", "strategy": "none", "variant": "base", "seed": 0,
}  # fmt: skip
EVALUATION = {
    "tau": 0.04, "taus": TAUS, "knn": 10, "knn_temperature": 0.04, "confidence": 0.95,
    "soft_class_temperature": 0.01,
    "scores": ["cosine_tau", "cosine_max", "mahalanobis"], "sensitivity": {"max_share": 0.2},
    "precision": "float32",
}  # fmt: skip
SOFT = {
    "occupied": 7,
    "occupied_train": 9,
    "entropy_of_mean": 2.0,
    "mean_entropy": 0.5,
    "log_k": 3.0,
}


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Case:
    """Features of three classes on a sphere and three OOD sets; how they are evaluated."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        centres = 1.5 * rng.standard_normal((3, 16))
        self.folder, self.sets = folder, {}
        self.ood = [OODSet(name, "test", name == "cut") for name in OOD]
        self.evaluation, self.soft, self.method = dict(EVALUATION), dict(SOFT), "dino"

        def add(dataset, split, role, features, labels):
            name = f"{dataset}-{split}"
            self.sets[name] = EvaluatedSet(name, dataset, role, features.astype(np.float32), labels)

        for split, n in (("train", 300), ("test", 80)):
            labels = rng.integers(0, 3, n)
            features = centres[labels] + 0.7 * rng.standard_normal((n, 16))
            add("home", split, split, features, labels)
        for name, shift in OOD.items():
            where = centres[rng.integers(0, 3, 60)] + shift * rng.standard_normal((60, 16))
            add(name, "test", "ood", where + shift, np.full(60, -1))

    def features(self, name):
        return self.sets[name].features

    def change(self, name, **what):
        self.sets[name] = replace(self.sets[name], **what)

    def both_stages(self):
        """The scores and the measurements, written and read again."""
        evaluation = read_settings(Evaluation, self.evaluation, "evaluation")
        model = SimpleNamespace(
            settings=SimpleNamespace(seed=0, method=self.method), logits=lambda features: features
        )
        tested = {s.called for s in self.ood if s.available}
        sets = [s for s in self.sets.values() if s.role != "ood" or s.dataset in tested]
        table = score_sets(sets, model, evaluation, "cpu")
        write_scores(table, self.folder / "s.parquet", {"run": IDENTITY["run"]})
        rows = measure(table, self.ood, evaluation.confidence, self.soft)
        write_measurements(as_frame(rows, IDENTITY), self.folder / "m.parquet")
        assert read_scores(self.folder / "s.parquet").keys() == table.keys()
        measured = read_measurements([self.folder / "m.parquet"])
        return pd.read_parquet(self.folder / "s.parquet"), measured


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_metrics_of_a_run_agree_with_scikit_learn_from_the_features(case):
    table, metrics = case.both_stages()
    assert list(table.columns[:7]) == [
        "set", "dataset", "role", "index", "label", "knn_label", "knn_majority_label",
    ]  # fmt: skip
    train, test = unit(case.features("home-train")), unit(case.features("home-test"))

    def slow(features, tau):
        return -np.log(np.exp(unit(features).astype(float) @ train.T / tau).mean(1))

    areas = {}
    for name in OOD:
        for tau in TAUS:
            values = np.r_[slow(test, tau), slow(case.features(f"{name}-test"), tau)]
            areas[name, tau] = roc_auc_score(np.r_[np.zeros(80), np.ones(60)], values)
    found = metrics[(metrics.metric == "auroc") & (metrics.score == "cosine_tau")]
    for row in found[found.dataset.isin(OOD)].itertuples():
        assert row.value == pytest.approx(areas[row.dataset, row.temperature], abs=1e-3)
        assert row.low < row.value < row.high
        assert (row.n_in, row.n_out) == (80, 60)
    average = found.set_index(["dataset", "temperature"]).value
    for tau in TAUS:
        mean = np.mean([average[name, tau] for name in OOD])
        assert average["average", tau] == pytest.approx(mean, abs=1e-12)
        honest = (average["near", tau] + average["far", tau]) / 2
        assert average["average_without_photographs", tau] == pytest.approx(honest, abs=1e-12)
    labels = case.sets["home-train"].labels
    # scikit-learn's distance is 1 - cos; the votes of the one that is judged weigh exp(cos / 0.04).
    weights = {"knn_accuracy": lambda d: np.exp((1 - d) / 0.04), "knn_accuracy_majority": "uniform"}
    for metric, weighted in weights.items():
        knn = KNeighborsClassifier(10, metric="cosine", weights=weighted)
        expected = knn.fit(case.features("home-train"), labels).score(
            case.features("home-test"), case.sets["home-test"].labels
        )
        accuracy = metrics[metrics.metric == metric].value.item()
        ties = 2 / 80 if weighted == "uniform" else 1e-12  # of votes: they may go either way
        assert 0.5 < accuracy == pytest.approx(expected, abs=ties), metric
    assert metrics[metrics.metric == "occupied_soft_classes"].value.item() == 7
    assert metrics[metrics.metric == "occupied_soft_classes_train"].value.item() == 9
    assert set(metrics.metric) == {
        "auroc", "fpr95", "aupr", "sensitivity", "knn_accuracy", "knn_accuracy_majority",
        "occupied_soft_classes", "occupied_soft_classes_train", "entropy_of_mean",
        "mean_entropy", "log_k",
    }  # fmt: skip


def test_sensitivity_holds_training_images_out_of_the_reference(case):
    table, metrics = case.both_stages()
    held = table[table.role == "sensitivity_held_out"]
    assert len(held) == 60 and held["index"].is_unique  # a fifth of 300 is less than 80
    assert (table.role == "sensitivity_test").sum() == 80
    train = unit(case.features("home-train")).astype(float)
    reference = np.delete(train, held["index"], axis=0)
    slow = -np.log(np.exp(train[held["index"]] @ reference.T / 0.04).mean(1))
    np.testing.assert_allclose(held["cosine_tau@0.040"], slow, atol=1e-4)
    assert held.knn_label.isna().all()
    rows = metrics[(metrics.metric == "sensitivity") & (metrics.score == "cosine_tau")]
    assert list(rows.temperature) == TAUS and (rows.n_in == 60).all() and (rows.n_out == 80).all()
    again = table[table.role == "sensitivity_test"]["cosine_tau@0.040"]
    expected = roc_auc_score(np.r_[np.zeros(60), np.ones(80)], np.r_[slow, again])
    assert rows[rows.temperature == 0.04].value.item() == pytest.approx(expected, abs=1e-3)


def test_the_same_features_give_the_same_bytes(case):
    case.both_stages()
    first = (case.folder / "m.parquet").read_bytes()
    case.both_stages()
    assert (case.folder / "m.parquet").read_bytes() == first


def test_without_labels_there_is_no_knn_accuracy(case):
    case.change("home-train", labels=np.full(300, -1))
    _, metrics = case.both_stages()
    assert not metrics.metric.str.startswith("knn").any()


def test_with_one_label_alone_there_is_no_knn_accuracy(case):
    """A training set of normal images only: every neighbour would vote for normal."""
    for name in ("home-train", "home-test"):
        case.change(name, labels=np.zeros_like(case.sets[name].labels))
    _, metrics = case.both_stages()
    assert not metrics.metric.str.startswith("knn").any()


def test_an_ood_set_that_is_not_there_has_no_data_and_leaves_the_others_alone(case):
    _, whole = case.both_stages()
    case.ood[0] = replace(case.ood[0], available=False)
    table, metrics = case.both_stages()
    assert "near" not in set(table["dataset"])
    missing = metrics[metrics.status == "no_data"]
    assert set(missing.dataset) == {"near", "average", "average_without_photographs", "pooled"}
    assert missing.value.isna().all()
    key = ["dataset", "score", "temperature", "metric"]
    others = metrics[metrics.dataset.isin(["far", "cut"])]
    both = others.merge(whole, on=key, suffixes=("", "_whole"))
    assert len(both) == len(others) > 10
    assert (both.value == both.value_whole).all()


def test_a_set_beside_is_measured_and_counts_in_no_mean(case):
    """Also the images of a set that go straight to another size, under a name of their own."""
    _, whole = case.both_stages()
    again = case.sets["far-test"]
    case.sets["far-test@256"] = replace(again, name="far-test@256", dataset="far@256")
    case.ood[0] = replace(case.ood[0], beside=True)
    case.ood.append(OODSet("far", "test", beside=True, size=256))
    table, metrics = case.both_stages()
    assert (table["set"] == "far-test@256").sum() == 60
    chosen = metrics[(metrics.metric == "auroc") & (metrics.score == "mahalanobis")]
    areas = chosen.set_index("dataset").value
    before = whole[(whole.metric == "auroc") & (whole.score == "mahalanobis")]
    before = before.set_index("dataset").value
    assert areas["near"] == before["near"] and areas["far@256"] == areas["far"]
    assert areas["average"] == pytest.approx((areas["far"] + areas["cut"]) / 2)
    assert areas["average_without_photographs"] == areas["far"]
    pooled = chosen.set_index("dataset").n_out["pooled"]
    assert pooled == 120


def test_pooled_is_the_union_of_all_ood_images_not_the_mean_over_the_sets(case):
    case.ood = case.ood[:2]  # near and far, sets of unequal size
    case.change("far-test", features=case.features("far-test")[:25], labels=np.full(25, -1))
    table, metrics = case.both_stages()
    test = table[table.role == "test"].mahalanobis
    out = table[table.role == "ood"].mahalanobis
    labels, values = np.r_[np.zeros(80), np.ones(85)], np.r_[test, out]
    rows = metrics[(metrics.score == "mahalanobis") & (metrics.dataset == "pooled")]
    found = rows.set_index("metric")
    assert found.loc["auroc"].value == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert found.loc["aupr"].value == pytest.approx(average_precision_score(labels, values))
    fpr, tpr, _ = roc_curve(labels, values, drop_intermediate=False)
    assert found.loc["fpr95"].value == pytest.approx(fpr[tpr >= 0.95].min())
    assert (found.n_in == 80).all() and (found.n_out == 85).all() and len(found) == 3
    assert found.loc["auroc"].low < found.loc["auroc"].value < found.loc["auroc"].high
    one_set = metrics[(metrics.score == "mahalanobis") & (metrics.metric == "auroc")]
    one_set = one_set.set_index("dataset").value
    weighted = (60 * one_set["near"] + 25 * one_set["far"]) / 85
    assert one_set["pooled"] == pytest.approx(weighted) != pytest.approx(one_set["average"])


def test_a_calibration_set_is_scored_and_changes_no_measurement(case):
    _, before = case.both_stages()
    test = case.sets["home-test"]
    labels = np.full(30, 7)
    case.sets["home-calibration"] = replace(
        test, name="home-calibration", role="calibration", features=test.features[:30],
        labels=labels,
    )  # fmt: skip
    table, metrics = case.both_stages()
    pd.testing.assert_frame_equal(metrics, before)
    found, same = table[table.role == "calibration"], table[table.role == "test"][:30]
    assert list(found["set"].unique()) == ["home-calibration"] and list(found.label) == [7] * 30
    for column in ("cosine_tau@0.040", "mahalanobis"):
        np.testing.assert_allclose(found[column], same[column], rtol=1e-5)
    assert found.knn_label.isna().all()


def test_one_ood_set_is_not_pooled(case):
    case.ood = case.ood[:1]
    _, metrics = case.both_stages()
    assert set(metrics.dataset) - {""} == {"near", "average"}


def test_a_run_without_ood_sets_has_neighbours_and_sensitivity_only(case):
    case.ood, case.soft = [], {}
    table, metrics = case.both_stages()
    assert set(metrics.metric) == {"sensitivity", "knn_accuracy", "knn_accuracy_majority"}
    assert set(metrics.dataset) == {""}
    assert set(table.role) == {"test", "sensitivity_held_out", "sensitivity_test"}


def test_no_neighbours_where_none_are_asked_for(case):
    case.evaluation["knn"] = 0
    table, metrics = case.both_stages()
    assert not metrics.metric.str.startswith("knn").any()
    assert table.knn_label.isna().all() and table.knn_majority_label.isna().all()


def test_a_fine_tuned_classifier_is_ranked_by_its_output(case):
    for name in case.sets:
        case.change(name, features=case.features(name)[:, :1])
    case.evaluation |= {"scores": ["logit"], "knn": 0}
    case.ood, case.soft, case.method = case.ood[:1], {}, "finetune"
    _, metrics = case.both_stages()
    outputs = np.r_[case.features("home-test")[:, 0], case.features("near-test")[:, 0]]
    expected = roc_auc_score(np.r_[np.zeros(80), np.ones(60)], outputs)
    found = metrics[(metrics.metric == "auroc") & (metrics.dataset == "near")]
    assert found.value.item() == pytest.approx(expected, abs=1e-12)
    assert found.score.item() == "logit" and np.isnan(found.temperature.item())
