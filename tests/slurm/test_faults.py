"""Trainings as processes: killed, told to stop, robbed of their disk, their checkpoints spoilt.

Each ends with the weights of the undisturbed run, to the byte.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from tiny_run import PATIENCE, STEPS, TinyRun, fill

pytestmark = pytest.mark.faults


def stop(process: subprocess.Popen, number: int) -> int:
    """Sends a signal to the process and all that it started; the exit code."""
    os.killpg(process.pid, number)
    return process.wait(PATIENCE)


def test_kill_9_at_random_steps_ten_times_over(data, expected, tmp_path, survived):
    run = TinyRun(tmp_path, data)
    moments = random.Random(4).choices(range(1, 18), k=10)
    for steps in moments:
        assert stop(run.start_until(steps), signal.SIGKILL) == -signal.SIGKILL
    assert run.finish() == expected
    assert run.repeated < sum(moments)
    survived("kill -9 at a random step", 10, run.repeated)


def test_told_to_stop_nothing_is_repeated(data, expected, tmp_path, survived):
    run = TinyRun(tmp_path, data, checkpoint_minutes=60)
    for _ in range(2):
        assert stop(run.start_until(30), signal.SIGTERM) == 143
    assert run.finish() == expected
    assert run.repeated == 0
    assert "saved when it was told to stop" in run.log
    survived("SIGTERM", 2, 0)


def test_two_processes_of_torchrun_are_told_to_stop(data, tmp_path, survived):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    whole = TinyRun(tmp_path / "whole", data, checkpoint_minutes=60, launcher=launcher)
    weights = whole.finish()
    run = TinyRun(tmp_path / "stopped", data, checkpoint_minutes=60, launcher=launcher)
    assert stop(run.start_until(60), signal.SIGTERM) != 0
    assert run.finish() == weights
    assert run.done == whole.done
    survived("SIGTERM to torchrun and its two processes", 1, 0)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def bits_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in random.Random(0).sample(range(len(content)), 8):
        content[place] ^= 1 << place % 8
    path.write_bytes(content)


def note_spoilt(path: Path) -> None:
    bits_flipped(path.with_suffix(".json"))


@pytest.mark.parametrize("spoil", [truncated, bits_flipped, note_spoilt])
def test_a_spoilt_checkpoint_costs_the_steps_since_the_one_before(
    spoil, data, expected, tmp_path, survived
):
    run = TinyRun(tmp_path, data)
    process = run.start_until(60)
    run.wait(lambda: len(list(run.checkpoints.glob("step_*.json"))) >= 2, process)
    stop(process, signal.SIGKILL)
    newest = run.newest
    spoil(newest)
    assert run.finish() == expected
    assert f"{newest.name} is not used" in run.log
    assert "starts at epoch" in run.log
    survived(f"checkpoint {spoil.__name__.replace('_', ' ')}", 1, run.repeated)


def test_a_clock_that_goes_backwards_changes_nothing(data, expected, tmp_path, survived):
    run = TinyRun(tmp_path, data)
    process = run.start_until(60)
    run.wait(lambda: len(list(run.checkpoints.glob("step_*.json"))) >= 2, process)
    stop(process, signal.SIGKILL)
    step = int(run.newest.stem.removeprefix("step_"))
    for path in run.checkpoints.iterdir():  # the older a checkpoint, the newer its file
        later = 4e9 - int("".join(filter(str.isdigit, path.stem)) or 0)
        os.utime(path, (later, later))
    os.utime(run.newest, (0, 0))
    assert run.finish() == expected
    assert f"(step {step}), saved by the clock" in run.log
    survived("clock going backwards", 1, run.repeated)


def test_the_second_of_two_jobs_waits_and_trains_nothing(data, expected, tmp_path, survived):
    run = TinyRun(tmp_path, data, checkpoint_minutes=60, options=("--wait-minutes", "3"))
    first = run.start_until(20)
    os.killpg(first.pid, signal.SIGSTOP)
    second = run.start()
    run.wait(lambda: f"waiting for the process {first.pid} on" in run.log, second)
    os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(PATIENCE) == second.wait(PATIENCE) == 0
    assert run.weights == expected
    assert run.repeated == 0
    assert "was trained to the end before; its outputs are written again" in run.log
    survived("a second job for the same run", 1, 0)


def test_a_disk_full_of_something_else_costs_checkpoints_only(
    data, expected, tmp_path, small_disk, survived
):
    run = TinyRun(tmp_path / "run", data)
    run.checkpoints = small_disk / "checkpoints"
    process = run.start_until(40)
    run.wait(lambda: list(run.checkpoints.glob("step_*.json")), process)
    fill(small_disk)
    run.wait(lambda: "could not be written" in run.log, process)
    stop(process, signal.SIGKILL)
    assert run.finish() == expected  # from the checkpoint before, and to the end without another
    assert "No space left on device" in run.log
    assert "starts at epoch" in run.log
    survived("disk full while a checkpoint is written", 1, run.repeated)


def test_outputs_that_found_the_disk_full_are_written_by_the_next_attempt(
    data, expected, tmp_path, small_disk, survived
):
    run = TinyRun(tmp_path / "run", data, checkpoint_minutes=60)
    run.output = small_disk / "run"
    filler = fill(small_disk)
    assert run.start().wait(PATIENCE) != 0
    assert "No space left on device" in run.log
    assert not list(run.output.glob("*.safetensors"))
    filler.unlink()
    assert run.finish() == expected
    assert run.done == STEPS
    assert json.loads((run.output / "train.json").read_text())["repeated_steps"] == 0
    survived("disk full while the outputs are written", 1, 0)
