"""Chapter 6 as config.yaml has it, on small archives in the true formats and with tiny models."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import writers
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "workflow", "resources", "envs")
PATIENCE = 1800  # seconds for the whole study on a busy machine
# Images of each set: numbers that differ tell when one set is taken for another.
TRAIN, AUXILIARY = 60, 48
TESTED = {
    "cifar10": 20, "cifar100": 26, "svhn": 21, "imagenet30": 24, "tinyimagenet": 19, "lsun": 22,
    "stl10": 18, "places365": 23, "texture": 25, "tinyimagenet_odin": 17,
}  # fmt: skip
# Splits that are not called "test".
SPLITS = {"tinyimagenet": "val", "places365": "validation", "texture": "all"}
# What is laid over config.yaml: small models, few steps, this machine. No dataset, strategy, table
# or figure is among it.
OVERLAY = {
    "methods": {
        "dino": {
            "training": {
                "epochs": 2, "batch_size": 20, "warmup_epochs": 1, "stop_on_collapse": False,
            },
            "views": {"positive": [2, 2], "negative": [1, 2], "global_size": 32, "local_size": 16},
            "backbone": {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8},
            "head": {"layers": 2, "hidden": 16, "bottleneck": 8, "out": 16},
        }
    },
    "execution": {"devices": 0, "threads": {"train": 1, "features": 1, "pack": 1}},
}  # fmt: skip


def scenes(rng: np.random.Generator, count: int, height: int, width: int | None = None):
    """(count, height, width, 3) smooth random pictures with structure."""
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    shape = (width or height, height)
    return np.stack([np.asarray(Image.fromarray(s).resize(shape, Image.BICUBIC)) for s in small])


def write_archives(folder: Path) -> None:
    """The archives of every dataset of chapter 6, and of one more OOD set."""
    folder.mkdir()
    rng = np.random.default_rng(6)
    labels = {name: [int(i) for i in rng.integers(0, 3, n)] for name, n in TESTED.items()}

    def labelled(count: int, classes: int):
        return scenes(rng, count, 32), rng.integers(0, classes, count)

    def named(name: str, classes: Sequence[str]) -> list[str]:
        return [classes[label] for label in labels[name]]

    writers.cifar10(folder, labelled(TRAIN, 10), labelled(TESTED["cifar10"], 10))
    writers.cifar100(folder, labelled(TRAIN, 100), labelled(TESTED["cifar100"], 100))
    digits = rng.integers(1, 11, TESTED["svhn"])
    writers.svhn(folder, scenes(rng, TESTED["svhn"], 32), digits)
    pictures = scenes(rng, TESTED["imagenet30"], 64, 80)
    writers.imagenet30(folder, pictures, named("imagenet30", ["acorn", "barn", "zebra"]), JPEG)
    pictures = scenes(rng, TESTED["tinyimagenet"], 64)
    writers.tinyimagenet(folder, pictures, labels["tinyimagenet"], JPEG)
    writers.odin(folder, "LSUN_resize", scenes(rng, TESTED["lsun"], 32))
    writers.odin(folder, "Imagenet_resize", scenes(rng, TESTED["tinyimagenet_odin"], 32))
    pictures = scenes(rng, TESTED["stl10"], 96)
    writers.stl10(folder, pictures, rng.integers(1, 11, len(pictures)))
    pictures = scenes(rng, TESTED["places365"], 256)
    writers.places365(folder, pictures, labels["places365"], JPEG)
    pictures = scenes(rng, TESTED["texture"], 64, 90)
    writers.dtd(folder, pictures, named("texture", ["banded", "dotted", "woven"]), encode=JPEG)
    write_auxiliary(folder)


JPEG = writers.jpeg


def write_auxiliary(
    folder: Path, imagenet: Sequence[np.ndarray] = (), dti: Sequence[np.ndarray] = ()
) -> None:
    """The archives of ImageNet and DTI, in which so many images give way to those named here."""
    rng = np.random.default_rng(7)
    pictures = [*scenes(rng, AUXILIARY, 75, 100)]
    pictures[: len(imagenet)] = imagenet
    third = AUXILIARY // 3
    synsets = {f"n0{i}": pictures[i * third : (i + 1) * third] for i in (2, 0, 1)}
    writers.imagenet(folder, synsets, JPEG)
    tiny = scenes(rng, AUXILIARY, 32)
    for i, image in enumerate(dti):
        tiny[i] = image
    writers.dti(folder, tiny)


def write_catalogue(path: Path, archives: Path) -> None:
    """The project's catalogue with the checksums, sizes and counts of these archives."""
    catalogue = yaml.safe_load((ROOT / "resources" / "datasets.yaml").read_text(encoding="utf-8"))
    counts = {(name, SPLITS.get(name, "test")): n for name, n in TESTED.items()}
    counts |= {("cifar10", "train"): TRAIN, ("cifar100", "train"): TRAIN}
    counts |= {("imagenet", "train"): AUXILIARY, ("dti", "train"): AUXILIARY}
    for (name, split), count in counts.items():
        entry = catalogue["datasets"][name]
        entry["splits"][split]["count"] = count
        for archive in entry["archives"]:
            file = archives / archive["file"]
            if file.exists():
                for key, value in (
                    ("bytes", file.stat().st_size),
                    ("md5", hashlib.md5(file.read_bytes()).hexdigest()),
                ):
                    if key in archive:  # what the catalogue does not know stays unknown
                        archive[key] = value
    path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")


@dataclass(frozen=True)
class Study:
    """A clone of the project in `folder`/clone, its archives and catalogue beside it."""

    folder: Path

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    @property
    def archives(self) -> Path:
        return self.folder / "archives"

    def results(self, *parts: str) -> Path:
        """A path in the results."""
        return self.clone.joinpath("results", *parts)

    def write_config(self, change: Callable[[dict], None] = lambda overlay: None) -> None:
        """Writes the catalogue and what is laid over config.yaml; `change` edits the latter."""
        write_catalogue(self.folder / "datasets.yaml", self.archives)
        overlay = {
            **OVERLAY,
            "catalogue": str(self.folder / "datasets.yaml"),
            "archive_dirs": [str(self.archives)],
        }
        change(overlay)
        (self.clone / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")

    def copy(self, folder: Path) -> Study:
        """A study of its own with all that this one has made."""
        shutil.copytree(self.folder, folder)
        return Study(folder)

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Runs Snakemake in the clone: (exit code, what it said)."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--nocolor"]
        done = subprocess.run(
            [*command, "--configfile", "overlay.yaml"],
            cwd=self.clone, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=PATIENCE,
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout


def make_study(folder: Path) -> Study:
    """A fresh clone with archives, in which nothing has been made."""
    study = Study(folder)
    study.clone.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, study.clone / part, ignore=ignore)
        else:
            shutil.copy2(ROOT / part, study.clone / part)
    write_archives(study.archives)
    study.write_config()
    return study
