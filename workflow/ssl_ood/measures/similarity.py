"""Cosine similarities of many features to many, in blocks: memory grows with neither."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

# Similarities that are worked on at a time, test by training images: on a CPU what stays in the
# cache, on a GPU what keeps it busy (two float32 buffers of this size: 512 MiB).
BLOCKS = {"cpu": (256, 4096), "cuda": (4096, 16384)}


def similarity_blocks(
    test: Tensor, train: Tensor, block: tuple[int, int] | None = None
) -> Iterator[tuple[slice, Iterator[tuple[int, Tensor]]]]:
    """Cosine similarities of (N, d) and (M, d) features in blocks.

    Yields the rows of a test block and an iterator over (first training index, (rows, columns)
    similarities). A feature of zeros has similarity 0 to everything.
    """
    yield from product_blocks(F.normalize(test, dim=1), F.normalize(train, dim=1), block)


def product_blocks(
    test: Tensor, train: Tensor, block: tuple[int, int] | None = None
) -> Iterator[tuple[slice, Iterator[tuple[int, Tensor]]]]:
    """Inner products of (N, d) and (M, d) vectors, in blocks as of `similarity_blocks`."""
    block = block or BLOCKS[test.device.type]

    def columns(rows: slice) -> Iterator[tuple[int, Tensor]]:
        for first in range(0, len(train), block[1]):
            yield first, test[rows] @ train[first : first + block[1]].T

    for first in range(0, len(test), block[0]):
        rows = slice(first, min(first + block[0], len(test)))
        yield rows, columns(rows)
