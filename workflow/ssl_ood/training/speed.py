"""How fast this machine trains runs, by a few of their steps on made-up images.

    ssl_ood speed results/runs/RUN/config.json     # - reads a JSON list of configs on stdin

What is done to pixels takes as long whatever they show, so no dataset has to be there. Steps are of
the run's own batch or, where that would take too long, of fewer images. `ssl_ood plan --hours`
asks it.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from ssl_ood.methods.base import method_of
from ssl_ood.methods.settings import RunSettings
from ssl_ood.training.micro_batches import MicroBatches
from ssl_ood.training.negatives import Negatives
from ssl_ood.training.sources import Sources
from ssl_ood.training.trainer import make_schedule, make_training, train_step
from ssl_ood.views.images import Images

SECONDS = 2.0  # of the steps that are timed, about
LONGEST = 2.0  # seconds of a step, which is of fewer images where it would take longer
SMALLEST = 2  # images of a step, in whole groups that share statistics


def images_per_second(
    settings: RunSettings, device: torch.device, micro_batch: int | str | None = None
) -> float:
    """Images of a batch, each with its negatives, that a training on one device uses in a second.

    The median of as many steps as `SECONDS` hold, after one that is not counted.
    """
    whole, together = settings.training.batch_size, settings.options.together
    size = min(-(-SMALLEST // together) * together, whole)
    while True:
        step = _stepper(settings, size, device, micro_batch)
        first = step()  # makes the optimiser's state, too
        larger = min(2 * size, whole)
        if size == whole or first * larger / size > LONGEST:
            break
        size = larger
    spent = [step()]
    while sum(spent) < SECONDS:
        spent.append(step())
    return size / statistics.median(spent)


def _stepper(settings: RunSettings, size: int, device: torch.device, micro_batch: int | str | None):
    """A function that makes one step of `size` images and returns its seconds."""
    sources = _made_up(settings, size, device)
    run, schedule = make_training(settings, device), make_schedule(settings, len(sources))
    micro = MicroBatches(micro_batch, size, device)
    last = max(schedule.steps - 1, 0)

    def step() -> float:
        run.step = min(run.step, last)
        start = _now(device)
        train_step(run, schedule, sources.batch(run.step, schedule.steps_per_epoch, size), micro)
        return _now(device) - start

    return step


def _made_up(settings: RunSettings, size: int, device: torch.device) -> Sources:
    """Noise in place of every packed set, in the shape of the real ones."""
    count, side = max(settings.training.batch_size, size), settings.size
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8), device)
    options, labels, negatives = settings.options, None, None
    if method_of(settings).uses_labels:
        classes = getattr(getattr(options, "head", None), "classes", 2)
        labels = np.arange(count) % classes
    if settings.negatives_an_image:
        negatives = Negatives(
            [(images, pair.shift) for pair in settings.negatives],
            settings.seed,
            tuple(pair.weight for pair in settings.negatives),
            options.negatives_of_each_source,
            options.shift_place,
            options.shift_identity,
        )
    return Sources(images, np.arange(count), labels, negatives, {}, settings.seed)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
