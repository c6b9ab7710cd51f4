"""One training of a recipe: how long it may be, its loop, and the accuracy of its features."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch

from ssl_ood.common.files import write_json
from ssl_ood.common.hashing import sha256_of_value
from ssl_ood.datasets.packed import Packed
from ssl_ood.evaluation.features import extract
from ssl_ood.measures.knn import knn_votes, nearest
from ssl_ood.methods.base import Model
from ssl_ood.methods.settings import RunSettings
from ssl_ood.training import checkpoints
from ssl_ood.training.sources import open_sources
from ssl_ood.training.state import Training
from ssl_ood.training.trainer import finish_epoch, make_schedule, make_training, train_step

CPU = torch.device("cpu")
SPEED_STEPS = 6  # steps whose speed tells how many epochs the time holds; the first is not counted


def untrained(
    settings: RunSettings, train: Packed, test: Packed, folder: Path
) -> tuple[float, float, int]:
    """10-NN accuracy of the network as it is drawn, and with the batch statistics of the training
    images; the parameters of its backbone. Kept in `folder`: many settings share a network."""
    views = settings.views
    drawn = [
        settings.backbone.model_dump(),
        settings.seed,
        views.global_size,
        views.mean,
        views.std,
    ]
    checksums = [packed.checksums["images"] for packed in (train, test)]
    path = folder / f"{sha256_of_value([drawn, checksums])[:16]}.json"
    if path.exists():
        return tuple(json.loads(path.read_text(encoding="utf-8")))
    model = Model(settings, make_training(settings, CPU).method.teacher.eval())
    before = calibrated = knn_accuracy(model, train, test)
    if settings.backbone.batch_norm:
        take_statistics(model, train.images)
        calibrated = knn_accuracy(model, train, test)
    found = before, calibrated, sum(p.numel() for p in model.network.backbone.parameters())
    write_json(path, found)
    return found


def epochs_in(seconds: float, settings: RunSettings, data: Path) -> int:
    """Epochs that fit into so much processor time, one at least."""
    sources = open_sources(settings, data, CPU)
    run, schedule = make_training(settings, CPU), make_schedule(settings, len(sources))
    batch_size, spent = settings.training.batch_size, []
    for step in range(SPEED_STEPS):
        start = time.process_time()
        train_step(run, schedule, sources.batch(step, schedule.steps_per_epoch, batch_size), 16)
        spent.append(time.process_time() - start)
    return max(1, int(seconds / (float(np.median(spent[1:])) * schedule.steps_per_epoch)))


def trained(settings: RunSettings, data: Path, folder: Path) -> tuple[Training, float, str]:
    """The training at its end, the seconds of a processor that it took, and how it ended."""
    sources = open_sources(settings, data, CPU)
    run, schedule = make_training(settings, CPU), make_schedule(settings, len(sources))
    identity = {"config": settings.to_dict(), "data": sources.checksums, "code": settings.code}
    if state := checkpoints.load(folder, identity, CPU):
        run.restore(state)
    start, before = time.process_time(), run.seconds  # of the processor, not of the clock
    while run.step < schedule.steps:
        size = settings.training.batch_size
        train_step(run, schedule, sources.batch(run.step, schedule.steps_per_epoch, size), 16)
        run.seconds = before + time.process_time() - start
        if run.step % schedule.steps_per_epoch:
            continue
        line = finish_epoch(run, schedule)
        run.history.append(line)
        print(f"epoch {line['epoch']}/{schedule.epochs}  {run.method.describe(line)}", flush=True)
        if not np.isfinite(line["loss"]):
            return run, run.seconds, "loss not finite"
        checkpoints.save(folder, run.step, run.state(), identity, keep=1)
    return run, run.seconds, "finished"


def knn_accuracy(model: Model, train: Packed, test: Packed) -> float:
    """10-NN accuracy of the test images, as evaluation has it: cosine, vote weighted at 0.04."""
    found = [torch.from_numpy(extract(model, s.images, CPU)) for s in (test, train)]
    similarities, indices = nearest(*found, 10)
    labels = torch.from_numpy(np.asarray(train.labels))
    votes = knn_votes(similarities, labels[indices], int(labels.max()) + 1, 0.04)
    return float((votes.numpy() == test.labels).mean())


@torch.no_grad()
def take_statistics(model: Model, images: np.ndarray, count: int = 2000) -> None:
    """Gives an untrained network's batch normalisation the statistics of some of the images."""
    network = model.network.backbone
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    network.train()
    for low in range(0, min(count, len(images)), 200):
        network(model.views(torch.from_numpy(np.array(images[low : low + 200]))))
    network.eval()
