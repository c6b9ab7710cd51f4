"""The benchmarks are scripts beside the package: their folder comes onto the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

# A network, views and features that take milliseconds.
TINY = {
    "training": {"batch_size": 4},
    "views": {"positive": [2, 2], "negative": [1, 2], "global_size": 16, "local_size": 8},
    "backbone": {"embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4,
                 "drop_path_rate": 0.0},
    "head": {"hidden": 24, "bottleneck": 8, "out": 12},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def preset():
    """The small preset, smaller still."""
    from dataclasses import replace

    from compare import presets

    found = presets.load("cpu", TINY)
    return replace(found, images=32, micro=4, usual_micro=4, steps=1, train=60, test=40,
                   dimensions=6, scores=100, resamples=20, matrix=32)  # fmt: skip
