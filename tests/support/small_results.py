"""A small study trained and evaluated in this process: real runs, in a second or two."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ssl_ood.evaluation.bundles.make import make_bundle
from ssl_ood.evaluation.bundles.sources import read_catalogues
from ssl_ood.evaluation.evaluate import Places, evaluate_run, read_task
from ssl_ood.evaluation.shortcuts.stage import measure_shortcuts
from ssl_ood.study.layers import without_nulls
from ssl_ood.study.read import read_study
from ssl_ood.study.runs import Experiments, needed_sets
from ssl_ood.training.probe import ProbePlan
from ssl_ood.training.trainer import train
from support.configs import DEMO
from support.packed import write_packed

RUN = "natural-shapes-rot_photos-base-seed0"
PLAIN = "natural-shapes-none-base-seed0"
BASELINE = "other-shapes-none-base-seed0"  # of another study, which a table shows beside its own
RUNS = RUN, PLAIN, BASELINE
COUNTS = {"train": 40, "test": 24}
LICENCES = {"shapes": "CC BY 4.0", "dots": None, "photos": "CC BY-NC 4.0"}
TABLES = {
    "table_negative_sampling": {"form": "negative_sampling", "strategies": ["none", "rot_photos"]},
    "table_quality": {"form": "quality", "strategies": ["none", "rot_photos"]},
    "table_baselines": {
        "form": "ood_auroc",
        "strategies": ["none"],
        "baselines": {"Other": {"study": "other"}},
    },
}
FIGURES = {
    "figure_score_distributions": {"form": "score_distributions", "strategies": ["rot_photos"]},
    "figure_negatives": {"form": "negatives", "strategies": ["rot_photos"]},
    "figure_views": {"form": "views", "strategies": ["rot_photos"]},
    "figure_color_histograms": {"form": "color_histograms"},
}


@dataclass(frozen=True)
class Small:
    """The study in `folder`: its config file, and its results folder."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.yaml"

    @property
    def config(self) -> dict[str, Any]:
        """The config, with paths that hold from anywhere."""
        config = yaml.safe_load((self.folder / "config.yaml").read_text())
        return config | {
            "results_dir": str(self.results), "downloads_dir": str(self.folder / "downloads")
        }  # fmt: skip

    def experiments(self, **changes: Any) -> Experiments:
        """The study, with other values at the top level of its config."""
        return read_study(self.config | changes)

    def bundle(self, path: Path, run: str = RUN, **options: Any) -> Path:
        """The bundle of a run, written to `path`."""
        make_bundle(self.results, run, path, read_catalogues([self.catalogue]), **options)
        return path

    def elsewhere(self, folder: Path) -> Small:
        """The config in another folder, with no results and no data."""
        folder.mkdir()
        there = Small(folder)
        there.write_config()
        return there

    def write_config(self) -> None:
        """config.yaml and the catalogue, whose data nobody can fetch."""
        entries = {
            name: {
                "title": name.title(), "kind": "natural", "access": "request", "licence": licence,
                "citation": f"the makers of {name}", "how_to_get": "ask", "options": {},
                "reader": "image_folders", "archives": [{"file": f"{name}.zip", "md5": "0" * 32}],
                "splits": {split: {"count": count} for split, count in COUNTS.items()},
            }
            for name, licence in LICENCES.items()
        }  # fmt: skip
        self.catalogue.write_text(yaml.safe_dump({"datasets": entries}))
        (self.folder / "config.yaml").write_text(yaml.safe_dump(_config(self.folder)))

    def make(self) -> Small:
        """Packs, trains and evaluates every run, and measures what needs no learning."""
        self.write_config()
        experiments, data = self.experiments(), self.results / "data"
        for packed in {
            s.path: s for r in experiments.runs.values() for s in needed_sets(r)
        }.values():
            rng = np.random.default_rng([ord(letter) for letter in packed.path])
            blocks = rng.integers(0, 256, (COUNTS[packed.split], 4, 4, 3), dtype=np.uint8)
            images = blocks.repeat(packed.size // 4, axis=1).repeat(packed.size // 4, axis=2)
            labels = np.arange(len(images)) % 3
            named = {"dataset": packed.dataset, "split": packed.split}
            write_packed(data / packed.path, images, labels, **named)
        make_runs(experiments, self.results)
        return self


def make_runs(experiments: Experiments, results: Path, probe: ProbePlan | None = None) -> None:
    """Trains and evaluates every run on the packed sets that are there, and measures what needs no
    learning. probe: how trainings are looked at on the way."""
    data, cpu = results / "data", torch.device("cpu")
    for run in experiments.runs.values():
        folder = results / "runs" / run.id
        _write(folder / "config.json", run.training_config)
        checkpoints = results / "checkpoints" / run.id
        train(run.settings, data, folder, checkpoints, device=cpu, probe=probe)
        config = experiments.evaluation_config(run)
        _write(results / "evaluation" / f"{run.id}.json", config)
        places = Places(
            data,
            results / "features" / run.id,
            results / "scores" / f"{run.id}.parquet",
            results / "measurements" / f"{run.id}.parquet",
        )
        evaluate_run(read_task(config), folder / "model.safetensors", places, cpu)
    for name, pairs in experiments.pairs.items():
        config = experiments.shortcuts_config(pairs)
        _write(results / "shortcuts" / f"{name}.json", config)
        measure_shortcuts(config, data, results / "shortcuts" / f"{name}.parquet")


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _config(folder: Path) -> dict[str, Any]:
    config = without_nulls(copy.deepcopy(DEMO))
    dino = config["methods"]["dino"]
    dino["training"] |= {"epochs": 1, "batch_size": 20, "stop_on_collapse": False}
    dino["training"] |= {"warmup_epochs": 0}
    dino["views"] |= {"global_size": 16, "local_size": 8, "positive": [2, 1], "negative": [1, 1]}
    dino["backbone"] |= {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    dino["head"] |= {"layers": 2, "hidden": 16, "bottleneck": 8, "out": 16}
    natural = config["studies"]["natural"]
    natural |= {"size": 16, "in_distribution": {"shapes": {"ood": ["dots"]}}}
    other = natural | {"override": {"training": {"lr_base": 0.0005}}}
    same = {"study": "natural", "in_distribution": ["shapes"]}
    return config | {
        "results_dir": "results",
        "catalogue": str(folder / "catalogue.yaml"),
        "archive_dirs": [],
        "methods": {"dino": dino},
        "studies": {"natural": natural, "other": other},
        "strategies": {"none": [], "rot_photos": [{"source": "photos", "shift": "rot90"}]},
        "variants": {"base": {}},
        "tables": {name: same | options for name, options in TABLES.items()},
        "figures": {name: same | options for name, options in FIGURES.items()},
        "titles": {},
    }
