"""Our side: the project's own training, its parts called one by one."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch

from compare.presets import Preset
from ssl_ood.methods.base import Batch
from ssl_ood.methods.dino import method as method_dino
from ssl_ood.training import trainer
from ssl_ood.training.negatives import Negatives
from ssl_ood.training.sources import Sources
from ssl_ood.views.images import Images


def made_up_images(count: int, size: int, seed: int) -> np.ndarray:
    """(count, size, size, 3) uint8 noise: what is done to pixels takes as long whatever they are,
    and no data have to be at hand."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


class Ours:
    """A training on made-up images, to be stepped as a whole or in parts."""

    def __init__(self, preset: Preset, arrays: list[np.ndarray], device: torch.device) -> None:
        self.preset, self.device = preset, device
        config, settings = preset.config, preset.settings
        images, others = (Images(array, device) for array in arrays)
        place = settings.options.shift_place
        negatives = Negatives(
            [(others, config["negatives"][0]["shift"])], config["seed"], place=place
        )
        rows = np.arange(len(images))
        self.sources = Sources(images, rows, None, negatives, {}, config["seed"])
        self.schedule = trainer.make_schedule(settings, len(images))
        self.run = trainer.make_training(settings, device)
        self.ready = self.views()

    def batch(self) -> Batch:
        """The images of the next step, before any augmentation."""
        return self.sources.batch(self.run.step, self.schedule.steps_per_epoch, self.preset.batch)

    def views(self) -> dict:
        """All views of the next step by kind and first row, micro-batch by micro-batch."""
        settings, micro, batch = self.run.settings, self.preset.micro, self.batch()
        made = {}
        for low in range(0, len(batch), micro):
            rows = slice(low, min(low + micro, len(batch)))
            for kind, images, shifts in (
                ("positive", batch.images, ()),
                ("negative", batch.negatives, batch.shifts),
            ):
                made[kind, low] = method_dino.make_views(
                    images, settings, kind, self.run.step, rows, shifts
                )
        return made

    def make_views(self) -> None:
        """Views alone."""
        for _ in range(self.preset.steps):
            self.views()
            self.run.step += 1

    def steps(self) -> None:
        """Steps alone, on the views that are ready."""

        def ready(images, settings, kind, step, rows, shifts=()):
            return self.ready[kind, rows.start]

        batch = self.batch()
        with mock.patch.object(method_dino, "make_views", ready):
            for _ in range(self.preset.steps):
                self.step(batch)

    def train(self) -> None:
        """Both together, as in a training."""
        for _ in range(self.preset.steps):
            self.step(self.batch())

    def step(self, batch: Batch) -> None:
        """One step with its views."""
        trainer.train_step(self.run, self.schedule, batch, self.preset.micro)
