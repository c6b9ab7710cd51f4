"""From the cues of a training, a test and OOD sets to scores: larger is stranger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.registry import Entry
from ssl_ood.datasets.packed import Packed
from ssl_ood.evaluation.shortcuts.images import blocks
from ssl_ood.evaluation.shortcuts.rows import (
    DISTANCE,
    EITHER,
    FROM_MEDIAN,
    RARITY,
    Reading,
    Scores,
)

TRAIN_IMAGES = 10_000  # of which a cue of the images has its median, spread evenly over all


def readings(
    entry: Entry, train: Packed, test: Packed, ood: Mapping[str, Packed]
) -> Iterator[Reading]:
    """The readings of a cue: one of a distance or of words, two of numbers."""
    function, sets = entry.load(), [test, *ood.values()]
    if "train" in entry.needs:
        distance = function(train.images)
        yield _reading(entry, DISTANCE, ood, [_in_blocks(distance, s.images) for s in sets])
        return
    if "facts" in entry.needs:
        own, *values = (
            None if s.facts is None else np.asarray(function(s.facts)) for s in [train, *sets]
        )
        if any(v is not None and v.dtype.kind == "U" for v in (own, *values)):
            yield _reading(entry, RARITY, ood, _rarities(own, values))
            return
        own, *values = (_finite(v) for v in (own, *values))
    else:
        step = max(1, -(-len(train) // TRAIN_IMAGES))
        own = _in_blocks(function, train.images[::step])
        values = [_in_blocks(function, s.images) for s in sets]
    if own is None:
        values = [None] * len(sets)
    yield _reading(entry, EITHER, ood, values)
    apart = [None if v is None else np.abs(v - np.median(own)) for v in values]
    yield _reading(entry, FROM_MEDIAN, ood, apart)


def _reading(
    entry: Entry, way: str, ood: Mapping[str, Packed], values: list[Scores | None]
) -> Reading:
    return Reading(entry.name, way, values[0], dict(zip(ood, values[1:], strict=True)))


def _in_blocks(function, images: NDArray[np.uint8]) -> Scores:
    parts = [np.asarray(function(np.asarray(images[part]))) for part in blocks(images)]
    return np.concatenate(parts).astype(np.float64)


def _finite(values: NDArray | None) -> Scores | None:
    """The values of images that have one; None where none has."""
    if values is None:
        return None
    values = values.astype(np.float64)
    return values[np.isfinite(values)] if np.isfinite(values).any() else None


def _rarities(
    train: NDArray[np.str_] | None, sets: list[NDArray[np.str_] | None]
) -> list[Scores | None]:
    """1 - the share of the training images that have the word; no word counts as one.

    None for a set without any word, and for all where the training images have none.
    """
    if train is None or not train.any():
        return [None] * len(sets)
    words, counts = np.unique(train, return_counts=True)
    share = dict(zip(words.tolist(), (counts / len(train)).tolist(), strict=True))
    return [
        None
        if values is None or not values.any()
        else np.array([1 - share.get(word, 0.0) for word in values.tolist()])
        for values in sets
    ]
