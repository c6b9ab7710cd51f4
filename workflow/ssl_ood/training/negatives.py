"""Negative batches from (source, shifting transformation) pairs, drawn anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.streams import stream
from ssl_ood.views.images import Images, epoch_order
from ssl_ood.views.shifts import shift_of


@dataclass(frozen=True)
class Negatives:
    """The negatives of a run: every (images, shift) pair gives an equal part of each batch."""

    pairs: list[tuple[Images, str | None]]
    seed: int

    def batch(self, step: int, steps_per_epoch: int, size: int) -> Tensor:
        """The negatives of a step: (size, S, S, 3) uint8, shifted, not yet augmented.

        An image comes at most once an epoch, as long as its source has images enough.
        """
        bounds = np.linspace(0, size, len(self.pairs) + 1).round().astype(int)
        batches = []
        for i, (images, shift) in enumerate(self.pairs):
            share = int(bounds[i + 1] - bounds[i])
            chosen = images.take(self._rows_of(i, step, steps_per_epoch, share))
            images.expect(self._rows_of(i, step + 1, steps_per_epoch, share))
            batches.append(shift_of(shift)(chosen, stream(self.seed, "shift", i, step)))
        return torch.cat(batches)

    def _rows_of(self, pair: int, step: int, steps_per_epoch: int, share: int) -> np.ndarray:
        """The images of a step from a pair, (share,) rows of its packed set."""
        epoch, position = divmod(step, steps_per_epoch)
        available = len(self.pairs[pair][0])
        name = f"negatives/{pair}"
        order = epoch_order(self.seed, name, epoch, steps_per_epoch * share, available)
        return order[position * share : (position + 1) * share]
