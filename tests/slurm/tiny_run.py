"""A training of 200 steps of a few milliseconds, as a process of its own that can be disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from support.packed import write_packed

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "workflow"
PATIENCE = 180  # seconds for a process to get somewhere on a busy machine
STEPS = 200

CONFIG = {
    "run": "natural-shapes-rot_photos-base-seed0", "study": "natural", "in_distribution": "shapes",
    "method": "dino", "strategy": "rot_photos", "variant": "base", "seed": 0, "size": 16,
    "train_split": "train", "test_split": "test",
    "negatives": [{"source": "photos", "split": "train", "shift": "rot90"}],
    "training": {
        "epochs": STEPS // 4, "batch_size": 8, "lr_base": 0.02, "lr_min": 1e-6, "warmup_epochs": 1,
        "weight_decay": [0.04, 0.4], "clip_grad": 3.0, "freeze_last_layer_epochs": 1,
        "lambda": 1.0, "student_temperature": 0.1, "teacher_temperature": [0.05, 0.03],
        "teacher_momentum": [0.9, 1.0], "centre_momentum": 0.9, "stop_on_collapse": False,
        "negatives": "per_source", "precision": "tf32",
    },
    "views": {
        "positive": [2, 1], "negative": [1, 0], "global_size": 16, "local_size": 8,
        "global_scale": [0.4, 1.0], "local_scale": [0.2, 0.6], "flip_p": 0.5,
        "jitter": [0.4, 0.4, 0.2, 0.1], "jitter_p": 0.0, "grey_p": 0.0, "blur_p": [0.0, 0.0, 0.0],
        "blur_sigma": [0.1, 2.0], "blur_scaled": False, "solarize_p": 0.0,
        "negative_global": "coin", "shift_place": "view", "shift_identity": True,
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
    },
    "backbone": {
        "name": "vit_small_patch16_224", "embed_dim": 16, "depth": 1, "num_heads": 2,
        "patch_size": 8, "drop_path_rate": 0.1,
    },
    "head": {"layers": 2, "hidden": 16, "bottleneck": 8, "out": 16,
             "norm_last_layer": False, "frozen": False},
}  # fmt: skip


def write_data(folder: Path) -> Path:
    """Packed sets of coloured squares: 32 images to train on, 40 to make negatives of."""
    for dataset, count in (("shapes", 32), ("photos", 40)):
        rng = np.random.default_rng(count)
        blocks = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        images = blocks.repeat(4, axis=1).repeat(4, axis=2)
        packed = folder / dataset / "train-16px"
        write_packed(packed, images, np.arange(count) % 3, dataset=dataset, split="train")
    return folder


@dataclass
class TinyRun:
    """The training in `folder`; each `start` is an attempt, what they said is in `log`."""

    folder: Path
    data: Path
    checkpoint_minutes: float = 0.002
    launcher: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    output: Path = field(init=False)
    checkpoints: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output, self.checkpoints = self.folder / "run", self.folder / "checkpoints"
        (self.folder / "config.json").write_text(json.dumps(CONFIG))

    def start(self) -> subprocess.Popen:
        """Starts an attempt in a process group of its own."""
        command = [
            sys.executable, *self.launcher, str(HERE / "counted.py"), str(self.folder / "steps"),
            "train", "--config", str(self.folder / "config.json"), "--data", str(self.data),
            "--output", str(self.output), "--checkpoints", str(self.checkpoints),
            "--progress", str(self.folder / "progress.json"),
            "--checkpoint-minutes", str(self.checkpoint_minutes),
            "--device", "cpu", "--threads", "1", *self.options,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)

    def finish(self) -> bytes:
        """Runs the last attempt undisturbed; the weights. Fails with the log if it does not end."""
        process = self.start()
        assert process.wait(PATIENCE) == 0, self.log
        return self.weights

    def start_until(self, steps: int) -> subprocess.Popen:
        """Starts an attempt and returns when it has done so many steps itself."""
        before = self.done
        process = self.start()
        self.wait(lambda: self.done >= before + steps, process)
        return process

    def wait(self, condition, process: subprocess.Popen) -> None:
        """Waits for the condition while the process runs."""
        until = time.monotonic() + PATIENCE
        while not condition():
            assert process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.001)

    @property
    def done(self) -> int:
        """Steps done by all attempts together."""
        path = self.folder / "steps"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    @property
    def repeated(self) -> int:
        """Steps done more than once."""
        return self.done - STEPS

    @property
    def log(self) -> str:
        """What all attempts said."""
        return (self.folder / "log").read_text()

    @property
    def weights(self) -> bytes:
        """The teacher that the run ended with."""
        return (self.output / "model.safetensors").read_bytes()

    @property
    def newest(self) -> Path:
        """The newest checkpoint."""
        return max(self.checkpoints.glob("step_*.pt"))


def fill(folder: Path, leave: int = 0) -> Path:
    """Fills the disk but for `leave` bytes."""
    filler, room = folder / "filler", os.statvfs(folder)
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        file.write(bytes(max(room.f_bavail * room.f_bsize - leave, 0)))
    return filler
