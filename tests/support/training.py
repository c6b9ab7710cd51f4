"""Tiny packed sets and a tiny run config, and the devices that this machine has."""

from __future__ import annotations

import copy
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_ood.methods.settings import RunSettings, read_run
from support.packed import write_packed

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])

CONFIG = {
    "run": "natural-shapes-rot_photos-base-seed0",
    "study": "natural",
    "in_distribution": "shapes",
    "method": "dino",
    "strategy": "rot_photos",
    "variant": "base",
    "seed": 0,
    "size": 16,
    "train_split": "train",
    "test_split": "test",
    "negatives": [{"source": "photos", "split": "train", "shift": "rot90"}],
    "training": {
        "epochs": 3, "batch_size": 8, "lr_base": 0.02, "lr_min": 1e-6, "warmup_epochs": 1,
        "weight_decay": [0.04, 0.4], "clip_grad": 3.0, "freeze_last_layer_epochs": 1,
        "lambda": 1.0, "student_temperature": 0.1, "teacher_temperature": [0.05, 0.03],
        "teacher_momentum": [0.9, 1.0], "centre_momentum": 0.9, "stop_on_collapse": True,
        "negatives": "per_source", "precision": "tf32",
    },
    "views": {
        "positive": [2, 2], "negative": [1, 1], "global_size": 16, "local_size": 8,
        "global_scale": [0.4, 1.0], "local_scale": [0.2, 0.6], "flip_p": 0.5,
        "jitter": [0.4, 0.4, 0.2, 0.1], "jitter_p": 0.8, "grey_p": 0.2, "blur_p": [1.0, 0.1, 0.5],
        "blur_sigma": [0.1, 2.0], "blur_scaled": False, "solarize_p": 0.2,
        "negative_global": "coin", "shift_place": "view", "shift_identity": True,
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
    },
    "backbone": {
        "name": "vit_small_patch16_224", "embed_dim": 16, "depth": 1, "num_heads": 2,
        "patch_size": 8, "drop_path_rate": 0.0,
    },
    "head": {
        "layers": 3, "hidden": 16, "bottleneck": 8, "out": 12, "norm_last_layer": False,
        "frozen": False,
    },
}  # fmt: skip


def read_log(folder: Path, kind: str = "epoch") -> list[dict]:
    """The lines of a kind of the log of the run in a folder."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_signals():
    """A training installs a handler for SIGTERM: not to outlive the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(params=DEVICES)
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def tiny():
    """A function: the tiny run with some settings replaced, section by section."""

    def build(**changes) -> RunSettings:
        config = copy.deepcopy(CONFIG)
        for key, value in changes.items():
            if isinstance(config.get(key), dict):
                config[key].update(value)
            else:
                config[key] = value
        return read_run(config)

    return build


@pytest.fixture
def pack(tmp_path):
    """A function: writes a packed set of smooth random images below tmp_path/data."""

    def write(dataset: str, split: str, count: int, *, size: int = 16, seed: int = 0):
        rng = np.random.default_rng([seed, count, len(dataset), len(split)])
        blocks = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        images = blocks.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
        folder = tmp_path / "data" / dataset / f"{split}-{size}px"
        write_packed(folder, images, np.arange(count) % 3, dataset=dataset, split=split)
        return images

    return write


@pytest.fixture
def data(pack, tmp_path):
    """The folder of the packed sets that the tiny config names: 24 images to train on."""
    pack("shapes", "train", 24)
    pack("shapes", "test", 10)
    pack("photos", "train", 40)
    return tmp_path / "data"
