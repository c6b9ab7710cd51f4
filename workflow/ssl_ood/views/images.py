"""Packed images as the training sees them: uint8, on the device if they fit, in a drawn order."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.streams import stream
from ssl_ood.views.transfer import to_device

RESIDENT_ON_CPU = 8 << 30
AHEAD = 4  # batches that are read before they are asked for, at most


class Images:
    """A packed set, (N, S, S, 3) uint8, resident on the device if it has at most `resident` bytes
    (default: a quarter of what is free on a GPU, 8 GiB on a CPU).

    A larger set stays memory-mapped, and `take` copies the asked rows. Where `expect` has told
    which rows come next, a thread reads them while the device works on those before.
    """

    def __init__(
        self, pixels: np.ndarray, device: torch.device, resident: int | None = None
    ) -> None:
        self.device = device
        self.pixels: Tensor | np.ndarray = pixels
        self._reader: ThreadPoolExecutor | None = None
        self._expected: dict[bytes, Future] = {}  # rows that are being read
        if resident is None:
            cuda = device.type == "cuda"
            resident = torch.cuda.mem_get_info(device)[0] // 4 if cuda else RESIDENT_ON_CPU
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
            return self.pixels.index_select(0, to_device(np.array(rows), self.device))
        reading = self._expected.pop(np.asarray(rows).tobytes(), None)
        block = reading.result() if reading else self._read(rows)
        return block.to(self.device, non_blocking=True)

    def expect(self, rows: np.ndarray) -> None:
        """Begins to read rows that a later `take` will ask for. Positives and negatives may come
        from the same images, so several are expected; the oldest of too many is dropped.
        """
        if isinstance(self.pixels, Tensor):
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="images")
        while len(self._expected) >= AHEAD:
            self._expected.pop(next(iter(self._expected))).cancel()
        self._expected[np.asarray(rows).tobytes()] = self._reader.submit(self._read, rows)

    def _read(self, rows: np.ndarray) -> Tensor:
        """The rows in the host's memory, pinned where a GPU will fetch them."""
        pinned = self.device.type == "cuda"
        block = torch.empty(
            (len(rows), *self.pixels.shape[1:]), dtype=torch.uint8, pin_memory=pinned
        )
        # A sorted read of the file is several times faster on disks that hate random access.
        order = np.argsort(rows, kind="stable")
        block.numpy()[order] = np.take(self.pixels, rows[order], axis=0)
        return block


@lru_cache(maxsize=8)
def epoch_order(seed: int, name: str, epoch: int, count: int, available: int) -> np.ndarray:
    """(wanted,) row numbers of an epoch: permutations of 0..available-1, one after the other."""
    rng = stream(seed, "order", name, epoch)
    rounds = -(-count // available)
    order = np.concatenate([rng.permutation(available) for _ in range(rounds)])[:count]
    order.setflags(write=False)
    return order
