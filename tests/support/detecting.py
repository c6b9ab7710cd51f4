"""A run as the workflow leaves it, trained on images that lie in a folder, and new images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ssl_ood.common.files import write_json
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.names import packed_path
from ssl_ood.datasets.pack import pack
from ssl_ood.evaluation.evaluate import Places, Task, evaluate_run
from ssl_ood.methods.base import read_run
from ssl_ood.study.settings import Evaluation
from ssl_ood.training.trainer import train
from support.situations import Toy
from support.training import CONFIG

CPU = torch.device("cpu")
EVALUATION = {
    "precision": "float32", "scores": ["cosine_tau", "mahalanobis"], "tau": 0.04,
    "taus": [0.04], "knn": 0, "knn_temperature": 0.07, "soft_class_temperature": 0.01,
    "confidence": 0.95, "sensitivity": {"max_share": 0.2},
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """Results of one run in `results`; `images` has the folders train, test of its files."""

    results: Path
    images: Path
    run: str

    @property
    def folder(self) -> Path:
        return self.results / "runs" / self.run

    @property
    def features(self) -> Path:
        return self.results / "features" / self.run


def scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A smooth coloured picture of blocks, of any sides."""
    blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def write_images(folder: Path, count: int, seed: int, sides: tuple[int, int] = (30, 40)) -> None:
    """PNGs of several sides, some of them grey, in two sub-folders."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        image = scene(rng, *rng.integers(*sides, 2, endpoint=True).tolist())
        path = folder / "ab"[i % 2] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image.convert("L") if i % 5 == 0 else image).save(path)


def finished(
    folder: Path,
    *,
    fit: str = "crop",
    train_images: int = 80,
    test_images: int = 70,
    size: int = 16,
) -> Finished:
    """An untrained run: packed, trained for no epoch and evaluated by the workflow's stages."""
    torch.set_num_threads(1)
    toy = Toy(folder, "toy")
    root, results = toy.archives / "toy", folder / "results"
    write_images(root / "train", train_images, 0)
    write_images(root / "test", test_images, 1)
    splits = {s: {"count": None, "options": {"root": s}} for s in ("train", "test")}
    dataset = load_catalogue(toy.catalogue(splits=splits))["toy"]
    manifest = fetch(dataset, folder / "downloads", [toy.archives])
    for split in splits:
        place = results / "data" / packed_path("toy", split, size, fit)
        pack(dataset, split, size, manifest, place, workers=1, fit=fit)
    config = copy.deepcopy(CONFIG) | {
        "run": "mine-toy-none-base-seed0", "study": "mine", "in_distribution": "toy",
        "strategy": "none", "negatives": [], "fit": fit, "size": size,
    }  # fmt: skip
    config["training"] |= {"epochs": 0, "lambda": 0.0}
    config["views"] |= {"global_size": size}
    run = config["run"]
    settings = read_run(config)
    train(
        settings, results / "data", results / "runs" / run, results / "checkpoints" / run,
        device=CPU,
    )  # fmt: skip
    write_json(results / "runs" / run / "config.json", settings.to_dict())
    evaluation = read_settings(Evaluation, EVALUATION, "evaluation")
    places = Places(
        results / "data",
        results / "features" / run,
        results / "scores" / f"{run}.parquet",
        results / "measurements" / f"{run}.parquet",
    )
    weights = results / "runs" / run / "model.safetensors"
    evaluate_run(Task(settings, (), evaluation), weights, places, CPU)
    task = {**settings.to_dict(), "ood": [], "evaluation": EVALUATION}
    write_json(results / "evaluation" / f"{run}.json", task)
    return Finished(results, root, run)
