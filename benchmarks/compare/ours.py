"""Our side: the project's own training, its parts called one by one."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch

from compare.presets import Preset
from ssl_ood import trainer
from ssl_ood.images import Images, epoch_order
from ssl_ood.negatives import Negatives


def made_up_images(count: int, size: int, seed: int) -> np.ndarray:
    """(count, size, size, 3) uint8 noise: what is done to pixels takes as long whatever they are,
    and no data have to be at hand."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


class Ours:
    """A training on made-up images, to be stepped as a whole or in parts."""

    def __init__(self, preset: Preset, arrays: list[np.ndarray], device: torch.device) -> None:
        self.preset, self.device = preset, device
        config = preset.config
        self.images, negatives = (Images(array, device) for array in arrays)
        self.negatives = Negatives([(negatives, config["negatives"][0]["shift"])], config["seed"])
        self.schedule = trainer.make_schedule(config["training"], len(self.images))
        self.run = trainer.make_training(config, device)
        self.ready = self.views()

    def sources(self):
        """The positive and negative images of the next step, before any augmentation."""
        batch, per_epoch = self.preset.batch, self.schedule.steps_per_epoch
        epoch, position = divmod(self.run.step, per_epoch)
        size = len(self.images)
        order = epoch_order(self.preset.config["seed"], "positives", epoch, per_epoch * batch, size)
        chosen = self.images.take(order[position * batch : (position + 1) * batch])
        return chosen, self.negatives.batch(self.run.step, per_epoch, batch)

    def views(self) -> dict:
        """All views of the next step by kind and first row, micro-batch by micro-batch."""
        config, micro = self.preset.config, self.preset.micro
        images = dict(zip(("positive", "negative"), self.sources(), strict=True))
        made = {}
        for low in range(0, self.preset.batch, micro):
            rows = slice(low, min(low + micro, self.preset.batch))
            for kind, batch in images.items():
                made[kind, low] = trainer.make_views(batch, config, kind, self.run.step, rows)
        return made

    def make_views(self) -> None:
        """Views alone."""
        for _ in range(self.preset.steps):
            self.views()
            self.run.step += 1

    def steps(self) -> None:
        """Steps alone, on the views that are ready."""

        def ready(images, config, kind, step, rows):
            return self.ready[kind, rows.start]

        positives, negatives = self.sources()
        with mock.patch.object(trainer, "make_views", ready):
            for _ in range(self.preset.steps):
                self._step(positives, negatives)

    def train(self) -> None:
        """Both together, as in a training."""
        for _ in range(self.preset.steps):
            self._step(*self.sources())

    def _step(self, positives, negatives) -> None:
        trainer.train_step(self.run, self.schedule, positives, negatives, self.preset.micro)
