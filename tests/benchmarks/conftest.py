"""The benchmarks are scripts beside the package: their folder comes onto the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def preset():
    """The smallest preset."""
    from compare import presets

    return presets.load("tiny")
