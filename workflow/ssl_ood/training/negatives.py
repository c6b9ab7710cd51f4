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
    """The negatives of a run: every (images, shift) pair gives its share of each batch, by the
    weights, or `of_each` pair a whole batch, whose loss then has that share.

    place: "image", where the images are shifted here, or "view", where that is left to the views.
    may_stay: whether a permutation of an image may be the identity.
    """

    pairs: list[tuple[Images, str | None]]
    seed: int
    weights: tuple[float, ...] = ()  # of the pairs; empty: all alike
    of_each: bool = False
    place: str = "image"
    may_stay: bool = False

    def shares(self, size: int) -> list[int]:
        """Negatives of each pair in a batch of `size` images."""
        if self.of_each:
            return [size] * len(self.pairs)
        weights = np.cumsum(self.weights or [1.0] * len(self.pairs))
        bounds = np.floor(size * weights / weights[-1] + 0.5).astype(int)
        return np.diff(bounds, prepend=0).tolist()

    def batch(self, step: int, steps_per_epoch: int, size: int) -> Tensor:
        """The negatives of a step: (N, S, S, 3) uint8, not yet augmented.

        N is `size`, one pair after the other, or `of_each` pair as many: of every pair one, `size`
        times, so that each image of the batch has as many beside it. An image comes at most once
        an epoch, as long as its source has images enough.
        """
        batches = []
        for i, ((images, shift), share) in enumerate(
            zip(self.pairs, self.shares(size), strict=True)
        ):
            chosen = images.take(self._rows_of(i, step, steps_per_epoch, share))
            images.expect(self._rows_of(i, step + 1, steps_per_epoch, share))
            if self.place == "image":
                shifted = shift_of(shift, self.may_stay)
                chosen = shifted(chosen, stream(self.seed, "shift", i, step))
            batches.append(chosen)
        return torch.stack(batches, 1).flatten(0, 1) if self.of_each else torch.cat(batches)

    def shifts(self, size: int) -> tuple[str | None, ...]:
        """The shift of each of the negatives of a step that is left to its views, if any is."""
        if self.place == "image":
            return ()
        named = [shift for _, shift in self.pairs]
        if self.of_each:
            return tuple(named) * size
        shares = zip(named, self.shares(size), strict=True)
        return tuple(shift for shift, share in shares for _ in range(share))

    def _rows_of(self, pair: int, step: int, steps_per_epoch: int, share: int) -> np.ndarray:
        """The images of a step from a pair, (share,) rows of its packed set."""
        epoch, position = divmod(step, steps_per_epoch)
        available = len(self.pairs[pair][0])
        name = f"negatives/{pair}"
        order = epoch_order(self.seed, name, epoch, steps_per_epoch * share, available)
        return order[position * share : (position + 1) * share]
