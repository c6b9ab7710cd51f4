"""Packed images as the training sees them: uint8, on the device if they fit, in a drawn order."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ssl_ood.streams import stream


class Images:
    """A packed set, (N, S, S, 3) uint8, resident on the device if it has at most `resident` bytes.

    A larger set stays memory-mapped, and `take` copies the asked rows.
    """

    def __init__(self, pixels: np.ndarray, device: torch.device, resident: int = 8 << 30) -> None:
        self.device = device
        self.pixels: Tensor | np.ndarray = pixels
        if pixels.nbytes <= resident:
            self.pixels = torch.from_numpy(np.array(pixels)).to(device)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return self.pixels.shape[1]

    def take(self, rows: np.ndarray) -> Tensor:
        """The images at `rows` (host integers), (len(rows), S, S, 3) uint8 on the device."""
        if isinstance(self.pixels, Tensor):
            index = torch.from_numpy(np.array(rows))
            return self.pixels.index_select(0, index.to(self.device, non_blocking=True))
        # A sorted read of the file is several times faster on disks that hate random access.
        order = np.argsort(rows, kind="stable")
        block = np.empty((len(rows), *self.pixels.shape[1:]), np.uint8)
        block[order] = self.pixels[rows[order]]
        batch = torch.from_numpy(block)
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=True)


@lru_cache(maxsize=8)
def epoch_order(seed: int, name: str, epoch: int, wanted: int, available: int) -> np.ndarray:
    """(wanted,) row numbers of an epoch: permutations of 0..available-1, one after the other."""
    rng = stream(seed, "order", name, epoch)
    rounds = -(-wanted // available)
    order = np.concatenate([rng.permutation(available) for _ in range(rounds)])[:wanted]
    order.setflags(write=False)
    return order
