"""The device of a stage: never the processor where a GPU was to be used."""

from __future__ import annotations

import argparse

import pytest
import torch

from ssl_ood import devices
from ssl_ood.errors import UserError


@pytest.fixture
def chosen(monkeypatch):
    """A function: the device for a command line, on a machine with so many GPUs."""

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
