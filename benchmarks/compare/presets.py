"""What is measured: the settings of chapter 6 from config.yaml, at thesis size or at a CPU's."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import yaml

from ssl_ood.declarations import declare_everything
from ssl_ood.methods.settings import RunSettings, read_run
from ssl_ood.training.micro_batches import CPU_ROWS

OF_A_DEVICE = 64  # images at a time
ROOT = Path(__file__).parents[2]

# What the small preset changes of the settings in config.yaml: a network and views that two cores
# get through in minutes. The numbers of views, their probabilities and all losses stay.
SMALL = {
    "training": {"batch_size": 32},
    "views": {"global_size": 64, "local_size": 32},
    "backbone": {"embed_dim": 96, "depth": 4, "num_heads": 3, "patch_size": 8},
    "head": {"hidden": 512, "bottleneck": 128, "out": 1024},
}

# Milliseconds a step: what tries the benchmarks themselves.
TINY = {
    "training": {"batch_size": 4},
    "views": {"positive": [2, 2], "negative": [1, 2], "global_size": 16, "local_size": 8},
    "backbone": {
        "embed_dim": 16, "depth": 2, "num_heads": 2, "patch_size": 4, "drop_path_rate": 0.0,
    },
    "head": {"hidden": 24, "bottleneck": 8, "out": 12},
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """The sizes of one measurement.

    config: a run config with sections training, views, backbone and head; micro, usual_micro:
    images that a device works on at a time, on our side and the usual one; steps: batches in a
    repetition; train, test, dimensions: features that are scored; scores: anomaly scores that are
    ranked; resamples: of the usual bootstrap.
    """

    name: str
    config: dict
    images: int
    micro: int
    usual_micro: int
    steps: int
    train: int
    test: int
    dimensions: int
    scores: int
    resamples: int
    matrix: int  # side of the matrices whose product is the device's measured peak

    @property
    def batch(self) -> int:
        return self.config["training"]["batch_size"]

    @property
    def settings(self) -> RunSettings:
        return read_run({k: v for k, v in self.config.items() if k != "evaluation"})

    @property
    def evaluation(self) -> dict:
        return self.config["evaluation"]


def load(name: str, changes: dict | None = None) -> Preset:
    """The preset `cpu`, `tiny` or `thesis`; `changes` to its sections are for tests."""
    declare_everything()
    settings = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    study = settings["studies"]["natural"]
    config = {
        "run": "speed", "study": "natural", "in_distribution": "made_up", "method": "dino",
        "strategy": "rot_imgn", "variant": "base", "seed": 0, "size": study["size"],
        "train_split": "train", "test_split": "test",
        "negatives": [{"source": "made_up_too", "split": "train", "shift": "rot90"}],
        **copy.deepcopy(settings["methods"][study["method"]]),
        "evaluation": settings["evaluation"],
    }  # fmt: skip
    for layer in ({} if name == "thesis" else SMALL, TINY if name == "tiny" else {}, changes or {}):
        for section, values in layer.items():
            config[section] = {**config[section], **values}
    if name == "tiny":
        return Preset(
            name, config, images=32, micro=4, usual_micro=4, steps=1, train=60, test=40,
            dimensions=6, scores=100, resamples=20, matrix=32,
        )  # fmt: skip
    if name == "cpu":
        return Preset(
            name, config, images=2048, micro=CPU_ROWS,
            usual_micro=config["training"]["batch_size"], steps=2, train=8000, test=4000,
            dimensions=384, scores=60_000, resamples=50, matrix=2048,
        )  # fmt: skip
    config["training"]["precision"] = "bfloat16"  # the usual side has half precision, too
    return Preset(
        name, config, images=50_000, micro=OF_A_DEVICE, usual_micro=OF_A_DEVICE, steps=10,
        train=50_000, test=100_000, dimensions=384, scores=60_000, resamples=1000, matrix=8192,
    )  # fmt: skip
