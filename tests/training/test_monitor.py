"""Trainings that go wrong, and one that does not: real ones, seconds each."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from support.other_methods import FINETUNE, MOCO, run_of
from support.training import read_log

from ssl_ood.common.errors import UserError
from ssl_ood.methods.base import method_of
from ssl_ood.methods.signs import DoesNotFall, StaysAtChance
from ssl_ood.training import trainer
from ssl_ood.training.monitor import check_finite, read_signs
from ssl_ood.training.trainer import make_schedule, make_training, train

CPU = torch.device("cpu")
PLAIN = {
    "positive": [2, 0],
    "negative": [1, 0],
    "jitter_p": 0.0,
    "blur_p": [0.0, 0.0, 0.0],
    "solarize_p": 0.0,
}
# As warm a teacher as the student, and negatives that weigh much: all outputs go back to uniform.
UNIFORM = {"teacher_temperature": [0.1, 0.1], "lr_base": 0.1, "lambda": 4.0}
# Nothing is taken off its logits: the largest wins for every image.
COLLAPSE = {"teacher_temperature": [0.02, 0.02], "centre_momentum": 1.0, "lr_base": 0.1}


@pytest.fixture
def short(tiny):
    """A function: a training of 120 steps of few and cheap views."""

    def build(**training):
        return tiny(training={"epochs": 40, "lambda": 0.0} | training, views=PLAIN)

    return build


def stopped(config, data, folder) -> str:
    with pytest.raises(UserError) as error:
        train(config, data, folder, folder / "c", device=CPU)
    return str(error.value)


def test_outputs_that_go_back_to_uniform_are_told_early_and_stop_the_run(
    short, data, tmp_path, capsys
):
    told = stopped(short(**UNIFORM), data, tmp_path / "run")
    assert told.startswith(
        "natural-shapes-rot_photos-base-seed0: the teacher's outputs are uniform"
    )
    assert "Lower training.teacher_temperature (it begins at 0.1)" in told
    said = capsys.readouterr().err
    warnings = [line for line in said.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1 and "the teacher's outputs" in warnings[0]


def test_a_teacher_with_one_soft_class_is_told_early_and_stops_the_run(short, data, tmp_path):
    told = stopped(short(**COLLAPSE), data, tmp_path / "run")
    assert "the teacher has collapsed to one soft-class" in told
    assert "Raise training.teacher_temperature (it begins at 0.02)" in told
    step = int(told.split("at step ")[1].split(")")[0])
    assert step <= 90


def test_a_training_that_may_go_on_goes_on_and_its_progress_carries_the_warning(
    short, data, tmp_path, monkeypatch
):
    monkeypatch.setattr("ssl_ood.training.attempts.PROGRESS_SECONDS", 0.0)
    path, seen = tmp_path / "progress.json", []
    real = trainer.train_step

    def step(run, *rest):
        real(run, *rest)
        if run.step == 119:
            seen.append(json.loads(path.read_text()))

    monkeypatch.setattr(trainer, "train_step", step)
    config = short(**COLLAPSE, stop_on_collapse=False)
    train(config, data, tmp_path / "run", tmp_path / "c", device=CPU, progress=path)
    assert seen[0]["warning"].startswith("the teacher has collapsed to one soft-class")
    assert seen[0]["curve"]["name"] == "entropy"
    assert max(seen[0]["curve"]["values"]) < 0.05
    signs = read_log(tmp_path / "run", "signs")
    assert [line["step"] for line in signs] == list(range(6, 121, 6))
    assert signs[2]["epoch"] == 6.0


def test_a_slow_training_is_left_alone(short, data, tmp_path, capsys):
    slow = {"lr_base": 1e-3, "warmup_epochs": 20, "teacher_momentum": [0.99, 1.0]}
    config = short(**slow, teacher_temperature=[0.03, 0.01], centre_momentum=0.5)
    train(config, data, tmp_path / "run", tmp_path / "c", device=CPU)
    assert "WARNING" not in capsys.readouterr().err
    away = [
        1 - line["teacher_entropy"] / line["log_k"] for line in read_log(tmp_path / "run", "signs")
    ]
    assert max(away[1:7]) < 0.16 < 0.3 < min(away[-2:])  # it begins near uniform, and leaves


def test_a_resumed_training_is_judged_the_same(short, data, tmp_path, monkeypatch):
    """Interrupted within an interval, between two lines of signs."""
    expected = stopped(short(**COLLAPSE), data, tmp_path / "whole")
    real = trainer.train_step

    def step_and_signal(run, *rest):
        real(run, *rest)
        if run.step == 32:
            signal.raise_signal(signal.SIGTERM)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", step_and_signal)
        with pytest.raises(SystemExit):
            train(short(**COLLAPSE), data, folder, folder / "c", device=CPU)
    assert stopped(short(**COLLAPSE), data, folder) == expected


def test_the_lines_of_an_epoch_add_up_to_its_own(tiny, data, tmp_path):
    """Three lines an epoch, one a step: means of equally many images."""
    train(tiny(), data, tmp_path / "run", tmp_path / "c", device=CPU)
    signs, epochs = (read_log(tmp_path / "run", kind) for kind in ("signs", "epoch"))
    assert len(signs) == 9 and len(epochs) == 3
    for i, epoch in enumerate(epochs):
        for key in ("loss", "positive", "negative", "teacher_entropy"):
            mean = sum(line[key] for line in signs[3 * i : 3 * i + 3]) / 3
            assert mean == pytest.approx(epoch[key], rel=1e-6)


def test_a_line_waits_for_the_device_once_and_begins_anew(tiny, data):
    run = make_training(tiny(), CPU)
    schedule = make_schedule(tiny(), 24)
    sources = trainer.open_sources(tiny(), data, CPU)
    for _ in range(2):
        trainer.train_step(run, schedule, sources.batch(run.step, 3, 8), 8)
    line = read_signs(run, schedule)
    assert line["step"] == 2 and line["epoch"] == pytest.approx(2 / 3)
    assert run.recent.tolist() == [0] * 5
    assert run.method.recent_probability.tolist() == [0] * 12
    assert run.sums[-1] == 2  # the epoch goes on


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_told_with_its_step(loss):
    with pytest.raises(UserError, match=r"not finite in epoch 3 \(step 250\)"):
        check_finite({"loss": loss, "epoch": 2.5, "step": 250}, "run")


def test_every_method_has_signs():
    contrast = run_of(MOCO)
    signs = method_of(contrast)(contrast, CPU).signs()
    assert [type(sign) for sign in signs] == [StaysAtChance]
    tuned = run_of(FINETUNE)
    assert method_of(tuned)(tuned, CPU).signs() == [DoesNotFall()]
