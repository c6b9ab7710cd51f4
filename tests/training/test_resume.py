"""Real training processes, killed and started again, and several processes for one training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ssl_ood.cli import main
from ssl_ood.training import trainer
from ssl_ood.training.probe import ProbePlan
from ssl_ood.training.trainer import train

PACKAGE = Path(trainer.__file__).parents[2]
CPU = torch.device("cpu")
PATIENCE = 120  # seconds for a process to get somewhere on a busy machine


@pytest.fixture
def long_config(tiny):
    """90 steps: long enough to be caught in the middle."""
    return tiny(training={"epochs": 30, "stop_on_collapse": False})


def arguments(config, folder, data):
    """The command line that trains `config` in `folder`, a checkpoint after every step."""
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    return [
        "train", "--config", str(path), "--data", str(data), "--output", str(folder),
        "--checkpoints", str(folder / "checkpoints"), "--checkpoint-minutes", "1e-9",
        "--device", "cpu", "--threads", "1",
    ]  # fmt: skip


def start(command, launcher=(), **options):
    """A process that trains; `launcher` stands between Python and the package."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "ssl_ood", *command],
        env=environment, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for(condition, process):
    """Waits until the condition holds while the process runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.0005)


def newest_step(folder):
    finished = [int(path.stem.removeprefix("step_")) for path in folder.glob("step_*.json")]
    return max(finished, default=0)


def at_step(folder, step):
    return lambda: newest_step(folder) >= step


def while_writing(folder, step):
    """In the middle of a checkpoint after `step` steps."""
    return lambda: newest_step(folder) >= step and any(folder.glob(".step_*.partial"))


def undisturbed(config, data, folder, probe=None):
    """Weights (bytes) and log of the run that nobody killed, without a single checkpoint."""
    train(config, data, folder, folder / "checkpoints", device=CPU, probe=probe)
    return result_of(folder)


def result_of(folder):
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in log:
        line.pop("seconds", None)
    return (folder / "model.safetensors").read_bytes(), log


def test_killed_at_any_moment_a_run_ends_with_the_same_weights(long_config, data, tmp_path):
    expected = undisturbed(long_config, data, tmp_path / "whole", ProbePlan())
    folder = tmp_path / "killed"
    command, saved = arguments(long_config, folder, data), folder / "checkpoints"
    reached = []
    for moment in (while_writing(saved, 3), at_step(saved, 40)):
        process = start(command)
        wait_for(moment, process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        reached.append(newest_step(saved))
    assert 3 <= reached[0] < reached[1] < 90
    assert main(command) == 0
    assert result_of(folder) == expected
    resumed = json.loads((folder / "train.json").read_text())["resumed_at_steps"]
    assert resumed == reached
    # The result stays: Snakemake may delete the outputs of a job that it did not see end.
    assert sorted(path.name for path in saved.glob("*step_*")) == [
        "step_00000090.json", "step_00000090.pt",
    ]  # fmt: skip


def test_sigterm_leaves_a_checkpoint_and_143_and_nobody_else_trains_the_run(
    long_config, data, tmp_path, capsys
):
    expected = undisturbed(long_config, data, tmp_path / "whole", ProbePlan())
    folder = tmp_path / "stopped"
    command, saved = arguments(long_config, folder, data), folder / "checkpoints"
    process = start(command)
    wait_for(at_step(saved, 4), process)
    os.kill(process.pid, signal.SIGSTOP)  # it waits while a second one is started
    capsys.readouterr()
    assert main(command) == 2
    assert capsys.readouterr().err == (
        f"ssl_ood train: Another process is training this run already (it holds {saved / 'lock'}): "
        "wait for it or stop it.\n"
    )
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    step = newest_step(saved)
    assert said.endswith(f"stopped by a signal at step {step}; it resumes there\n")
    assert main(command) == 0
    assert result_of(folder) == expected
    assert f"starts at epoch {step / 3:.2f} (step {step})" in capsys.readouterr().err


def interrupt_at(step, monkeypatch):
    """The process gets a SIGTERM in that step."""
    real = trainer.train_step

    def step_and_signal(run, *rest):
        real(run, *rest)
        if run.step == step:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(trainer, "train_step", step_and_signal)


@pytest.mark.parametrize("step", [1, 3, 8, 9], ids=["first", "end of epoch", "middle", "last"])
def test_interrupted_at_any_step_a_run_ends_with_the_same_weights(
    step, tiny, data, tmp_path, monkeypatch
):
    expected = undisturbed(tiny(), data, tmp_path / "whole")
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        interrupt_at(step, patch)
        with pytest.raises(SystemExit) as stopped:
            train(tiny(), data, folder, folder / "checkpoints", device=CPU)
    assert stopped.value.code == 143
    assert newest_step(folder / "checkpoints") == step
    assert undisturbed(tiny(), data, folder) == expected


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    tiny, data, tmp_path, monkeypatch, capsys
):
    expected = undisturbed(tiny(), data, tmp_path / "whole")
    folder = tmp_path / "damaged"
    for step in (4, 7):
        with monkeypatch.context() as patch:
            interrupt_at(step, patch)
            with pytest.raises(SystemExit):
                train(tiny(), data, folder, folder / "checkpoints", device=CPU)
    newest = folder / "checkpoints" / "step_00000007.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    capsys.readouterr()
    assert undisturbed(tiny(), data, folder) == expected
    said = capsys.readouterr().err
    assert "step_00000007.pt is not used: its content is damaged (checksum differs)" in said
    assert "9 steps, starts at epoch 1.33 (step 4)" in said
    assert json.loads((folder / "train.json").read_text())["resumed_at_steps"] == [4]


def test_lost_outputs_are_written_again_without_training(tiny, data, tmp_path, monkeypatch):
    """Snakemake deletes the outputs of a job that it did not see end."""
    expected = undisturbed(tiny(), data, tmp_path / "run")
    for name in ("model.safetensors", "log.jsonl", "train.json"):
        (tmp_path / "run" / name).unlink()

    def never(*_):
        raise AssertionError("a step of training")

    monkeypatch.setattr(trainer, "train_step", never)
    assert undisturbed(tiny(), data, tmp_path / "run") == expected


def test_other_images_are_trained_on_anew(tiny, data, pack, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_at(4, patch)
        with pytest.raises(SystemExit):
            train(tiny(), data, folder, folder / "checkpoints", device=CPU)
    pack("photos", "train", 40, seed=1)
    capsys.readouterr()
    found = undisturbed(tiny(), data, folder)
    assert "9 steps, starts from scratch" in capsys.readouterr().err
    assert found == undisturbed(tiny(), data, tmp_path / "fresh")


def test_two_processes_give_the_losses_and_weights_of_one(tiny, data, tmp_path):
    pairs = [{"source": "shapes", "split": "train", "shift": "rot90"},
             {"source": "photos", "split": "train", "shift": "perm4", "weight": 3.0}]  # fmt: skip
    config = tiny(negatives=pairs, backbone={"drop_path_rate": 0.2, "depth": 2})
    _, log = undisturbed(config, data, tmp_path / "one")
    folder = tmp_path / "two"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = start(arguments(config, folder, data), launcher)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    _, found = result_of(folder)
    found = [line for line in found if line["kind"] != "probe"]
    assert len(found) == len(log) == 9 + 3  # of steps and of epochs
    # The same sums in float32, added in another order; AdamW divides small gradients by
    # themselves, so the difference grows from step to step.
    for one, two in zip(log, found, strict=True):
        assert one.pop("kind") == two.pop("kind")
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=2e-3), name
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=2e-3, err_msg=name)
