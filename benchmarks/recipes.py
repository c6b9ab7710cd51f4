"""Tries settings of the self-distillation without negatives on real images, one row per training.

    python benchmarks/recipes.py --images FOLDER              # all settings of recipes.yaml, seed 0
    python benchmarks/recipes.py --images FOLDER resnet_small --seeds 0 1 2 --minutes 25

FOLDER has the folders train and test, each with one folder of images per class. A setting is an
overlay of `methods.dino` in config.yaml; recipes.yaml names them, and --settings another such file.
The number of epochs is what --minutes of one processor's time hold, from the speed of the first
steps. A training is the project's own: views, loss, optimiser, schedules and checkpoints.

A setting is judged by its loss, by the entropies of the teacher's outputs and by the 10-NN accuracy
of the teacher's features beside that of the untrained network (the better of two: as it is drawn,
and with the batch statistics of the training images). No OOD set is read. Each training appends a
row to docs/measured/recipes.csv, whatever came of it; one that has a row is not trained again, and
one that was killed goes on at its last whole epoch.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from recipe.training import epochs_in, knn_accuracy, trained, untrained

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, write_json
from ssl_ood.datasets.catalogue import from_dict
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.names import PackedSet
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_set
from ssl_ood.declarations import declare_everything
from ssl_ood.methods.base import Model, read_run
from ssl_ood.methods.settings import RunSettings
from ssl_ood.study.layers import merge, parse_config, without_nulls

ROOT = Path(__file__).resolve().parents[1]
DATASET = "real"
COLUMNS = (
    "date", "commit", "setting", "seed", "backbone", "parameters", "images", "epochs", "steps",
    "cpu_minutes", "loss", "log_k", "entropy_of_output", "entropy_of_mean", "knn",
    "knn_untrained", "knn_untrained_statistics", "gain", "ended", "options",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Trains what has no row yet, prints and appends the rows."""
    options = parse(arguments)
    torch.set_num_threads(1)
    declare_everything()
    base, settings = read_settings_file(options.settings)
    for name in options.names:
        if name not in settings:
            raise UserError(f"{options.settings} has no setting {name}: {', '.join(settings)}.")
    began = commit()  # that of the code in memory, whatever is checked out at the end
    data = packed_images(options.images, options.work, options.size)
    for seed in options.seeds:
        for name in options.names or settings:
            overlay = merge(base, settings[name])
            if (name, str(seed), budget(options.minutes)) in rows_of(options.output):
                continue
            row = tried(name, overlay, seed, options, data) | {"commit": began}
            append(options.output, row)
            shown = ("setting", "seed", "epochs", "cpu_minutes", "loss", "knn", "gain", "ended")
            print(", ".join(f"{key} {row[key]}" for key in shown), flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="settings to try (default: all of the file)")
    parser.add_argument("--images", type=Path, required=True, help="folder of train and test")
    parser.add_argument("--size", type=int, default=32, help="pixels that images are packed to")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="of one processor's time")
    parser.add_argument(
        "--settings", type=Path, default=Path(__file__).with_name("recipes.yaml"),
        help="file of settings",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("results/benchmarks/recipes"))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "measured" / "recipes.csv")
    return parser.parse_args(arguments)


def read_settings_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all settings of the file have in common, and each of them."""
    found = parse_config(path.read_text(encoding="utf-8"), str(path))
    return found.get("all", {}), found["settings"]


def packed_images(images: Path, work: Path, size: int) -> Path:
    """The folder of the packed sets; packed by the project's own stage, as a user's folder is."""
    images = images.resolve()
    for split in ("train", "test"):
        entry = {
            "title": "Real images", "kind": "natural", "access": "request",
            "how_to_get": "Name their folder", "reader": "image_folders",
            "options": {"root": split}, "archives": [{"file": images.name, "folder": True}],
            "splits": {split: {"count": None}},
        }  # fmt: skip
        dataset = from_dict(DATASET, entry)
        manifest = fetch(dataset, work / "downloads", [images.parent])
        folder = work / "data" / PackedSet(DATASET, split, size, "crop").path
        pack(dataset, split, size, manifest, folder, workers=1)
    return work / "data"


def run_settings(overlay: dict[str, Any], seed: int, size: int, epochs: int) -> RunSettings:
    """The run of strategy `none` with this overlay of methods.dino in config.yaml."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    changed = {"training": {"epochs": epochs, "lambda": 0.0, "stop_on_collapse": False}}
    return read_run(
        {
            "run": "recipe", "study": "recipes", "in_distribution": DATASET, "method": "dino",
            "strategy": "none", "variant": "base", "seed": seed, "size": size,
            "train_split": "train", "test_split": "test", "negatives": [],
            **without_nulls(merge(config["methods"]["dino"], overlay, changed)),
        }
    )  # fmt: skip


def tried(
    name: str, overlay: dict[str, Any], seed: int, options: argparse.Namespace, data: Path
) -> dict[str, Any]:
    """The row of one training."""
    work = options.work / f"{name}-{seed}-{budget(options.minutes)}"
    settings = run_settings(overlay, seed, options.size, 1)
    for key, rest in settings.faults(len(open_set(data, settings.packed(DATASET, "train")))):
        raise UserError(f"{options.settings}: {name}: {key} {rest}")
    told = work / "epochs.json"
    if told.exists():
        epochs = json.loads(told.read_text(encoding="utf-8"))
    else:
        epochs = epochs_in(60 * options.minutes, settings, data)
        write_json(told, epochs)
    settings = run_settings(overlay, seed, options.size, epochs)
    sets = [open_set(data, settings.packed(DATASET, split)) for split in ("train", "test")]
    before, calibrated, parameters = untrained(settings, *sets, options.work / "untrained")
    run, seconds, ended = trained(settings, data, work / "checkpoints")
    after = knn_accuracy(Model(settings, run.method.teacher.eval()), *sets)
    last = run.history[-1] if run.history else {}
    return {
        "date": datetime.date.today().isoformat(),
        "setting": name,
        "seed": seed,
        "backbone": settings.backbone.name,
        "parameters": parameters,
        "images": len(sets[0]),
        "epochs": epochs,
        "steps": run.step,
        "cpu_minutes": round(seconds / 60, 2),
        "loss": rounded(last.get("loss")),
        "log_k": rounded(last.get("log_k")),
        "entropy_of_output": rounded(last.get("teacher_entropy")),
        "entropy_of_mean": rounded(last.get("entropy_of_mean")),
        "knn": rounded(after),
        "knn_untrained": rounded(before),
        "knn_untrained_statistics": rounded(calibrated),
        "gain": rounded(after - max(before, calibrated)),
        "ended": ended,
        "options": json.dumps({"minutes": options.minutes, **overlay}, separators=(",", ":")),
    }


def budget(minutes: float) -> str:
    """The time as it stands in the rows."""
    return f"{minutes:g}"


def rounded(value: float | None) -> float | str:
    """Four decimals; nothing where nothing was measured."""
    return "" if value is None else round(value, 4)


def rows_of(path: Path) -> set[tuple[str, str, str]]:
    """(setting, seed, minutes) of the rows that there are."""
    if not path.exists():
        return set()
    with open(path, encoding="utf-8", newline="") as file:
        return {
            (r["setting"], r["seed"], budget(json.loads(r["options"])["minutes"]))
            for r in csv.DictReader(file)
        }


def append(path: Path, row: dict[str, Any]) -> None:
    """Adds a row, by a file that replaces the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ",".join(COLUMNS) + "\n"
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        file.write(before)
        csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


def commit() -> str:
    """The commit that is checked out; with a plus where files differ from it."""

    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "workflow", "benchmarks")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"recipes.py: {error}")
