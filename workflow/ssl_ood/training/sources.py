"""The images of a training: which ones a step gets, with their labels and negatives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.methods.base import Batch, method_of
from ssl_ood.methods.settings import RunSettings
from ssl_ood.training.negatives import Negatives
from ssl_ood.views.images import Images, epoch_order
from ssl_ood.views.transfer import to_device


@dataclass(frozen=True)
class Sources:
    """The in-distribution images of a run (all, or the `rows` of them) and its negatives."""

    images: Images
    rows: np.ndarray
    labels: np.ndarray | None
    negatives: Negatives | None
    packed: dict[str, Packed]  # every packed set, by folder
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def checksums(self) -> dict[str, str]:
        """Of all that the weights depend on: the images of every set, and the labels if used."""
        checksums = {name: packed.checksums["images"] for name, packed in self.packed.items()}
        if self.labels is not None:
            own = next(iter(self.packed))
            checksums[f"{own} labels"] = self.packed[own].checksums["labels"]
        return checksums

    def prove(self, *, if_touched: bool = False) -> None:
        """Raises UserError where a packed set is no longer what it was.

        if_touched: only those whose files the file system says were touched are read in full.
        """
        for packed in self.packed.values():
            packed.prove_if_touched() if if_touched else packed.prove()

    def batch(self, step: int, steps_per_epoch: int, size: int) -> Batch:
        """The images of a step; within an epoch none comes twice."""
        places = self._places(step, steps_per_epoch, size)
        rows = self.rows[places]
        labels, negatives, shifts = None, None, ()
        if self.labels is not None:
            labels = to_device(self.labels[rows], self.images.device)
        if self.negatives is not None:
            negatives = self.negatives.batch(step, steps_per_epoch, size)
            shifts = self.negatives.shifts(size)
        images = self.images.take(rows)
        self.images.expect(self.rows[self._places(step + 1, steps_per_epoch, size)])
        return Batch(images, labels, negatives, shifts, places, len(self))

    def _places(self, step: int, steps_per_epoch: int, size: int) -> np.ndarray:
        """The images of a step, (size,) numbers among those that are used."""
        epoch, position = divmod(step, steps_per_epoch)
        count = min(steps_per_epoch * size, len(self))  # the last batch may be a smaller one
        order = epoch_order(self.seed, "positives", epoch, count, len(self))
        return order[position * size : (position + 1) * size]


def open_sources(settings: RunSettings, data: Path, device: torch.device) -> Sources:
    """The packed sets that a run names, below `data`, read in full and proven to be as packed."""
    packed: dict[str, Packed] = {}
    opened: dict[str, Images] = {}

    def images_of(dataset: str, split: str) -> Images:
        chosen = settings.packed(dataset, split)
        path = chosen.path
        if path not in opened:
            packed[path] = open_set(data, chosen)
            opened[path] = Images(packed[path].images, device)
        return opened[path]

    own = settings.in_distribution, settings.train_split
    images = images_of(*own)
    labels = None
    method = method_of(settings)
    if method.uses_labels:
        labels = method.targets_of(packed[settings.packed(*own).path].labels, settings)
    pairs = [(images_of(pair.source, pair.split), pair.shift) for pair in settings.negatives]
    weights = [pair.weight for pair in settings.negatives]
    options, negatives = settings.options, None
    if settings.negatives_an_image:
        negatives = Negatives(
            pairs,
            settings.seed,
            tuple(weights),
            options.negatives_of_each_source,
            options.shift_place,
            options.shift_identity,
        )
    rows = _labelled_rows(settings, len(images))
    return Sources(images, rows, labels, negatives, packed, settings.seed)


def _labelled_rows(settings: RunSettings, images: int) -> np.ndarray:
    """The images that are used: all, or `training.labels` drawn at random (a larger number holds
    the smaller ones of the same seed)."""
    labels = settings.options.labels
    if labels is None:
        return np.arange(images)
    for key, rest in settings.faults(images):
        if key == "training.labels":
            raise UserError(f"{settings.run}: {key} {rest}")
    return stream(settings.seed, "labels").permutation(images)[:labels]
