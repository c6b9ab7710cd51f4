"""Tiny run configs of the methods beside self-distillation."""

from __future__ import annotations

import copy

from ssl_ood.methods.settings import RunSettings, read_run

RESNET = {"name": "resnet18", "channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1]}
VIEWS = {
    "size": 16,
    "interpolation": "bilinear",
    "rotation": 20,
    "flip_p": 0.5,
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
}
COMMON = {
    "study": "contrast", "in_distribution": "shapes", "strategy": "none", "variant": "base",
    "seed": 0, "size": 16, "train_split": "train", "test_split": "test", "negatives": [],
    "backbone": RESNET,
}  # fmt: skip
SGD = {
    "epochs": 3, "batch_size": 8, "lr_base": 0.5, "lr_min": 0.0, "warmup_epochs": 0,
    "weight_decay": [1e-4, 1e-4], "sgd_momentum": 0.9, "clip_grad": 0.0,
    "precision": "tf32",
}  # fmt: skip
MOCO = COMMON | {
    "run": "contrast-shapes-none-base-seed0",
    "method": "moco",
    "training": SGD | {
        "temperature": 0.07, "queue": 12, "teacher_momentum": [0.9, 0.9], "batch_norm_images": 4,
    },
    "views": VIEWS | {"scale": [0.08, 1.0], "jitter": [0.4, 0.4, 0.0, 0.0]},
    "head": {"hidden": 16, "out": 8},
}  # fmt: skip
FINETUNE = COMMON | {
    "run": "labels-shapes-none-base-seed0",
    "method": "finetune",
    "training": SGD,
    "views": VIEWS | {
        "resize": 20, "shift": 0.1, "zoom": [0.9, 1.1], "jitter": [0.3, 0.3, 0.0, 0.0],
    },
}  # fmt: skip


def run_of(base: dict, **changes) -> RunSettings:
    """The run of a config, some settings replaced, section by section."""
    config = copy.deepcopy(base)
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(config.get(key), dict) else value
    return read_run(config)
