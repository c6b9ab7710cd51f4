"""Evaluates a trained run: features set by set, scores of every image, measurements.

    ssl_ood evaluate --config results/evaluation/RUN.json \\
        --weights results/runs/RUN/model.safetensors --data results/data \\
        --features results/features/RUN --scores results/scores/RUN.parquet \\
        --output results/measurements/RUN.parquet

One job for each run. It takes the OOD sets that are there; the measurements of the others say that
they have no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_ood.common.files import atomic_path, writing
from ssl_ood.common.registry import lookup
from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation.measure import OODSet, measure
from ssl_ood.evaluation.measurements import as_frame, write_measurements
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.evaluation.score_table import score_sets
from ssl_ood.evaluation.scoring import settings_of
from ssl_ood.evaluation.sets import Extractor
from ssl_ood.evaluation.soft_classes import occupied_around_mean, probabilities_of, soft_classes
from ssl_ood.methods.base import Model, load_model, read_run
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.trained import prove_settings, prove_weights
from ssl_ood.study.runs import OF_EVALUATION
from ssl_ood.study.settings import Evaluation


@dataclass(frozen=True)
class Task:
    """What results/evaluation/RUN.json asks for; calibration_split: None where it names none."""

    run: RunSettings
    ood: tuple[OODSet, ...]
    evaluation: Evaluation
    calibration_split: str | None = None


def read_task(config: Mapping[str, Any]) -> Task:
    """The typed content of results/evaluation/RUN.json."""
    own = {key: value for key, value in config.items() if key not in OF_EVALUATION}
    evaluation = read_settings(Evaluation, config["evaluation"], f"{config['run']}: evaluation")
    ood = tuple(OODSet(**entry) for entry in config["ood"])
    return Task(read_run(own), ood, evaluation, config.get("calibration_split"))


@dataclass(frozen=True)
class Places:
    """Where an evaluation reads and writes: packed sets; features; scores; measurements."""

    data: Path
    features: Path
    scores: Path
    measurements: Path


def evaluate_run(task: Task, weights: Path, places: Places, device: torch.device) -> None:
    """Writes the features, the scores and, last, the measurements of a run.

    Raises UserError where weights or a set are damaged, or not those of the run.
    """
    trained = prove_weights(weights, task.run.run)
    prove_settings(weights, task.run)
    model = load_model(task.run, weights, device)
    scores = [lookup("score", name) for name in task.evaluation.scores]
    seeing = [(e, settings_of(e, task.evaluation)) for e in scores if "images" in e.needs]
    compared = [e.more["embedding"] for e in scores if "embedding" in e.more]
    extractor = Extractor(
        model, places.features, device, task.evaluation.precision, trained, seeing, compared
    )
    own = task.run.in_distribution
    sets = [
        extractor.read(places.data, task.run.packed(own, task.run.train_split), "train"),
        extractor.read(places.data, task.run.packed(own, task.run.test_split), "test"),
    ]
    sets += [
        extractor.read(places.data, s.packed(task.run), "ood") for s in task.ood if s.available
    ]
    if task.calibration_split is not None:
        calibration = task.run.packed(own, task.calibration_split)
        sets.append(extractor.read(places.data, calibration, "calibration"))
    train, test = sets[0].features, sets[1].features
    temperature = task.evaluation.soft_class_temperature
    summary = _soft_classes(model, train, test, temperature, places.features, device)
    table = score_sets(sets, model, task.evaluation, device)
    inputs = {"weights": model.sha256, "sets": {s.name: s.checksums for s in sets}}
    proof = {"run": task.run.run, "inputs": inputs}
    rows = measure(table, task.ood, task.evaluation.confidence, summary)
    frame = as_frame(rows, vars(task.run))
    with writing(places.scores):
        scored = write_scores(table, places.scores, proof)
    with writing(places.measurements):
        write_measurements(frame, places.measurements, {**inputs, "scores": scored})


def _soft_classes(
    model: Model,
    train: np.ndarray,
    test: np.ndarray,
    temperature: float,
    folder: Path,
    device: torch.device,
) -> dict[str, Any]:
    """The summary of the teacher's soft-classes over the test images, whose mean probabilities (K,)
    are kept as soft_classes.npy, and over the training images; empty where the method has none."""
    if "soft_classes" not in lookup("method", model.settings.method).more["offers"]:
        return {}
    mean, summary = soft_classes(probabilities_of(model, test, device))
    path = folder / "soft_classes.npy"
    with writing(path), atomic_path(path) as partial, open(partial, "wb") as file:
        np.save(file, mean)
    around_mean = occupied_around_mean(model, train, device, temperature)
    return summary | {"occupied_train": around_mean}
