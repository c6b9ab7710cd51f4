"""The device of a stage: never the processor where a GPU was to be used."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest
import torch

from ssl_ood.common import devices
from ssl_ood.common.errors import UserError


@pytest.fixture
def chosen(monkeypatch):
    """A function: the device for a command line, on a machine with so many GPUs."""

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # chosen already

    def choose(*line: str, gpus: int = 0, environment: str | None = None, rank: int = 0):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        if environment:
            monkeypatch.setenv("SSL_OOD_DEVICE", environment)
        parser = argparse.ArgumentParser()
        devices.add_arguments(parser)
        return devices.chosen(parser.parse_args(line))

    return choose


def test_by_default_it_is_a_gpu_if_there_is_one(chosen):
    assert chosen(gpus=0) == torch.device("cpu")
    assert chosen(gpus=1) == torch.device("cuda", 0)
    assert chosen(gpus=4, rank=2) == torch.device("cuda", 2)


def test_where_the_config_asks_for_none_a_gpu_is_left_alone(chosen):
    assert chosen(gpus=1, environment="cpu") == torch.device("cpu")


@pytest.mark.parametrize(("gpus", "rank"), [(0, 0), (1, 1)])
def test_a_gpu_that_is_not_there_is_an_error(chosen, gpus, rank):
    with pytest.raises(UserError) as error:
        chosen(gpus=gpus, environment="cuda", rank=rank)
    assert str(error.value).startswith(
        f"This job was to have {rank + 1} GPU(s) and PyTorch finds {gpus}: look at the driver"
    )


def test_the_threads_are_shared_out_to_the_processes(chosen, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for processes in (1, 4, 64):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        chosen("--threads", "32")
    assert asked == [32, 8, 1]


CLAIM = """
import sys, torch
from ssl_ood.common import devices
torch.cuda.device_count = lambda: 4
devices.claim_gpus(int(sys.argv[1]))
import os
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def test_jobs_of_one_machine_claim_gpus_of_their_own(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES",)}
    environment |= {"TMPDIR": str(tmp_path)}
    running, found = [], []
    for wanted in (1, 2, 2, 1):
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(wanted)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        found.append(process.stdout.readline().strip())
    assert found == ["0", "1,2", "None", "3"]  # of four, two are not left for the third
    for process in running:
        process.communicate("")


def test_what_was_chosen_already_is_kept(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    devices.claim_gpus(1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    devices.claim_gpus(1)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("driver", "built_for", "fits"),
    [
        ((13, 0), "13.2", True),  # within a major version an older driver will do
        ((13, 2), "12.6", True),
        ((12, 9), "13.2", False),
        ((11, 8), "12.1", False),
        (None, "13.2", True),  # no driver: another sentence says so
        ((12, 2), None, True),  # a build for processors
    ],
)
def test_a_driver_must_be_of_the_major_version_of_the_build(driver, built_for, fits):
    problem = devices.driver_problem(driver, built_for)
    assert (problem is None) == fits
    if problem:
        assert f"built for CUDA {built_for}" in problem
        assert f"built for CUDA {driver[0]}." in problem


def test_an_old_driver_is_told_and_not_passed_over(chosen, monkeypatch, capsys):
    monkeypatch.setattr(devices, "driver_version", lambda: (11, 8))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    with pytest.raises(UserError, match=r"runs CUDA 11\.8 at most: install a newer driver"):
        chosen("--device", "cuda", gpus=0)
    assert chosen(gpus=0) == torch.device("cpu")
    assert "WARNING: The installed PyTorch is built for CUDA 13.2" in capsys.readouterr().err
    assert chosen("--device", "cpu") == torch.device("cpu")
    assert capsys.readouterr().err == ""


def test_the_driver_is_described(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(devices, "driver_version", lambda: (13, 1))
    assert devices.describe_driver().endswith(
        "is built for CUDA 13.2; this machine has a driver of CUDA 13.1."
    )
    monkeypatch.setattr(devices, "driver_version", lambda: None)
    assert devices.describe_driver().endswith("this machine has no CUDA driver.")
