"""The figure of learning curves, from logs with known values."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.report.make import Files, make_figure

NAME = "figure_learning_curves"


@pytest.fixture
def curves(study, tmp_path):
    """A function: writes the logs of some runs by (strategy, seed), draws, returns the data."""

    def draw(logs):
        files = []
        for (strategy, seed), lines in logs.items():
            run = study.run("cifar10", strategy, seed=seed)
            folder = tmp_path / "runs" / run
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "log.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            told = {"log_sha256": sha256_of(path)}
            (folder / "train.json").write_text(json.dumps(told))
            files.append(path)
        make_figure(study.spec(NAME), Files(history=files), tmp_path / "out" / NAME)
        return pd.read_csv(tmp_path / "out" / f"{NAME}.csv")

    (tmp_path / "out").mkdir()
    return draw


def log(offset):
    """Two epochs with two lines of signs each, looked at before, between and after."""
    signs = [
        {"kind": "signs", "step": step, "epoch": step / 4, "loss": 12 - step - offset,
         "positive": 6 - step / 2 - offset, "teacher_entropy": 5.0, "entropy_of_mean": 5.5,
         "log_k": math.log(512)}
        for step in (2, 4, 6, 8)
    ]  # fmt: skip
    epochs = [{"kind": "epoch", "step": 4 * e, "epoch": e, "positive": 99.0} for e in (1, 2)]
    probes = [
        {"kind": "probe", "step": 4 * e, "epoch": float(e), "knn_accuracy": 0.3 + e / 10,
         "sensitivity": 0.5}
        for e in (0, 1, 2)
    ]  # fmt: skip
    return [*signs, *epochs, *probes]


def test_each_point_is_the_mean_over_seeds_at_that_moment(curves, tmp_path):
    data = curves({("none", 0): log(0.0), ("none", 1): log(1.0), ("rot_imgn", 0): log(0.5)})
    quantities = ["positive", "teacher_entropy", "entropy_of_mean", "knn_accuracy", "sensitivity"]
    assert list(dict.fromkeys(data["quantity"])) == quantities  # the sum of losses is left out
    loss = data[(data["quantity"] == "positive") & (data["strategy"] == "none")]
    assert loss["epoch"].tolist() == [0.5, 1.0, 1.5, 2.0]  # not the means of epochs
    assert loss["mean"].tolist() == [4.5, 3.5, 2.5, 1.5]
    assert loss["spread"].tolist() == pytest.approx([math.sqrt(0.5)] * 4)
    assert loss["n"].tolist() == [2] * 4
    one = data[(data["quantity"] == "knn_accuracy") & (data["strategy"] == "rot_imgn")]
    assert one["mean"].tolist() == pytest.approx([30, 40, 50])
    assert one["runs"].unique().tolist() == ["natural-cifar10-rot_imgn-base-seed0"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".pdf", ".png"}


def test_a_method_with_nothing_but_a_loss_has_one_panel(curves):
    lines = [{"kind": "epoch", "epoch": e, "loss": 2.0 / e} for e in (1, 2, 4)]
    data = curves({("none", 0): lines})
    assert data["quantity"].tolist() == ["loss"] * 3
    assert data["mean"].tolist() == [2.0, 1.0, 0.5]


def test_logs_without_kinds_are_of_epochs(curves):
    """As trainings wrote them before there were lines of other kinds."""
    data = curves({("none", 0): [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]})
    assert data["mean"].tolist() == [2.0, 1.0]


def test_a_log_that_was_altered_is_refused(curves, tmp_path, study):
    curves({("none", 0): log(0.0)})
    path = tmp_path / "runs" / "natural-cifar10-none-base-seed0" / "log.jsonl"
    path.write_text(path.read_text().replace("0.5", "0.9"))
    with pytest.raises(UserError, match="is not what the training wrote"):
        make_figure(study.spec(NAME), Files(history=[path]), tmp_path / "f")


def test_a_run_without_a_log_is_named(curves, tmp_path, study):
    study.run("cifar10", "none")
    with pytest.raises(UserError, match="there is no log of natural-cifar10-none-base-seed0"):
        make_figure(study.spec(NAME), Files(), tmp_path / "f")


def test_runs_that_trained_nothing_are_no_figure(curves):
    with pytest.raises(UserError, match="no run of it was trained for a single epoch"):
        curves({("none", 0): []})
