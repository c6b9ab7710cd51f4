"""Images per second by a few steps: of every method, and of as large a batch as the time allows."""

from __future__ import annotations

import pytest
import torch
from support.configs import DEMO
from support.configs import read as read_config

from ssl_ood.study.layers import merge
from ssl_ood.study.read import read_study
from ssl_ood.training import speed

CPU = torch.device("cpu")
TINY = merge(DEMO, read_config("tests/tiny_study.yaml"))
RUNS = {
    run.method: run.settings
    for run in read_study(TINY).runs.values()
    if run.settings.training.epochs
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes by so many seconds at every look."""
    seconds = {"now": 0.0, "step": 0.4}

    def now(device):
        seconds["now"] += seconds["step"]
        return seconds["now"]

    monkeypatch.setattr(speed, "_now", now)
    return seconds


@pytest.mark.parametrize("method", sorted(RUNS))
def test_a_step_of_every_method_is_of_its_whole_batch_where_that_is_quick(method, clock):
    found = speed.images_per_second(RUNS[method], CPU, 32)
    assert found == pytest.approx(RUNS[method].training.batch_size / 0.4)


def test_a_step_that_would_take_long_is_of_fewer_images(clock):
    clock["step"] = 1.5  # twice the images would take 3 seconds
    settings = RUNS["dino"]
    assert speed.images_per_second(settings, CPU, 32) == pytest.approx(speed.SMALLEST / 1.5)
