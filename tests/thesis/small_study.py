"""The thesis as config.yaml has it, on small archives in the true formats, with tiny models."""

from __future__ import annotations

import copy
import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from small_archives import write_archives, write_catalogue

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "workflow", "resources", "envs")
PATIENCE = 1800  # seconds for the whole study on a busy machine
SGD = {"epochs": 2, "batch_size": 8, "lr_base": 0.5}
LABELLED = {
    "none": [
        ["imagenet_con", "rsna_con", "imagenet_classifier", "random"],
        ["labels_100", "labels_all"],
    ]
}
# What is laid over config.yaml: small models and images, few steps and labels, this machine. No
# study, dataset, strategy, table or figure is among it, but for flows and the compared methods.
OVERLAY = {
    "methods": {
        "dino": {
            "training": {
                "epochs": 2, "batch_size": 20, "warmup_epochs": 1, "stop_on_collapse": False,
                # Six steps must move the teacher, or all strategies have the same numbers.
                "lr_base": 0.1, "teacher_momentum": [0.5, 0.9],
            },
            "views": {"positive": [2, 2], "negative": [1, 2], "global_size": 32, "local_size": 16},
            "backbone": {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8},
            "head": {"layers": 2, "hidden": 16, "bottleneck": 8, "out": 16},
        },
        "moco": {
            "training": SGD | {"queue": 12, "batch_norm_images": 4},
            "views": {"size": 32},
            "backbone": {"name": "resnet18"},
            "head": {"hidden": 16, "out": 8},
        },
        "finetune": {
            "training": SGD | {"lr_min": 0.01},
            "views": {"size": 28, "resize": 32},
            "backbone": {"name": "resnet18"},
        },
    },
    "variants": {
        "batch_64": {"training": {"batch_size": 4}},
        "batch_256": {"training": {"batch_size": 12}},
        "labels_100": {"training": {"labels": 8, "batch_size": 4, "lr_base": 1.0}},
    },
    "studies": {
        "rsna_contrastive": {"size": 32},
        "rsna_pretraining": {"size": 32},
        "label_efficiency": {"size": 32},
        "medical": {
            "size": 32,
            "override": {
                "training": {"epochs": 2, "warmup_epochs": 1}, "views": {"local_size": 16},
            },
            "in_distribution": {
                name: {"override": {"training": {"lr_base": 0.1, "batch_size": 8}}}
                for name in ("rsna", "hyper_kvasir", "lag")
            },
        },
    },
    # Of the long lists of chapters 5 and 7 a part: every run is four processes that start.
    "tables": {
        # Flows and the compared methods have tests of their own.
        "table_ood_auroc": {"baselines": None},
        "table_claims_basics": {"baselines": None},
        "table_likelihood": None,
        "table_likelihood_colour": None,
        "table_pretext": None,
        "table_claims_pretext": None,
        "table_medical_compared": None,
        "table_ood_mtl": None,
        "table_rsna_compared": None,
        "table_objects_texture": None,
        "table_protocol": {"variants": {"rot_imgn": ["base", "local_scale_dino"]}},
        "table_rsna_contrastive": {"seeds": [0, 1], "baselines": None},
        "table_rsna": {"baselines": None},
        "table_batch_size": {"seeds": [0]},
        "table_augmentation": {"seeds": [0], "variants": {"none": ["crop_0.4", "base"]}},
        "table_shortcuts_contrastive": {"seeds": [0, 1]},
        "table_label_efficiency": {"variants": LABELLED},
        "table_shifts_medical": {
            "strategies": {
                "rsna": ["none", "rot_both", "perm4_both"],
                "lag": ["none", "rot_both"],
                "hyper_kvasir": ["none", "perm4_both"],
            }
        },
    },
    "figures": {
        "figure_label_efficiency": {"variants": LABELLED},
        "figure_likelihood": None,
        "figure_likelihood_colour": None,
    },
    "execution": {
        "devices": 0, "warm": True, "threads": {"train": 1, "evaluate": 1, "pack": 1},
        "probe": {"images": 40},
    },
}  # fmt: skip


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
        """Writes the catalogue and what is laid over config.yaml, edited by `change`."""
        write_catalogue(self.folder / "datasets.yaml", self.archives)
        overlay = copy.deepcopy(OVERLAY) | {
            "catalogue": str(self.folder / "datasets.yaml"),
            "archive_dirs": [str(self.archives)],
        }
        change(overlay)
        (self.clone / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")

    def copy(self, folder: Path) -> Study:
        """A study of its own with all that this one has made."""
        shutil.copytree(self.folder, folder)
        copied = Study(folder)
        copied.write_config()
        return copied

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Runs Snakemake in the clone: (exit code, what it said)."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--nocolor"]
        done = subprocess.run(
            [*command, "--configfile", "overlay.yaml"],
            cwd=self.clone, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=PATIENCE, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout


def make_study(folder: Path) -> Study:
    """A fresh clone with archives, in which nothing has been made."""
    study = Study(folder)
    study.clone.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, study.clone / part, ignore=ignore)
        else:
            shutil.copy2(ROOT / part, study.clone / part)
    write_archives(study.archives)
    study.write_config()
    return study


def planned(log: str) -> dict[str, int]:
    """The jobs by rule that Snakemake said it would run."""
    rows = re.findall(r"^(\w+) +(\d+)$", log, re.MULTILINE)
    return {rule: int(count) for rule, count in rows}


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file, without those of the best shortcuts."""
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("system") != "shortcut"]


def markdown_rows(path: Path) -> list[list[str]]:
    """The cells of a markdown table, without its head."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
