"""A seeded split of images into training, calibration and test, whole groups at a time.

A group is a patient's images and copies of one file. The groups stand in an order that a hash of
the seed and of their name gives, and are cut into three by their share of the images: so an image
more leaves all others where they are, but for those beside a cut. No side is left empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream_key

PARTS = ("train", "calibration", "test")


def split_by_group(
    names: Sequence[str], groups: np.ndarray, shares: Mapping[str, float], seed: int
) -> np.ndarray:
    """The part of each image, (N,) int64 into `PARTS`; groups: (N,) int64 numbers.

    names: of the images, or of what groups them. shares: of the images for each part, which
    sum to 1; a part is off by less than the images of a group. Raises UserError for fewer groups
    than parts.
    """
    _, own, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < len(PARTS):
        raise UserError(
            f"{len(names):,} images in {len(sizes)} group(s) cannot be split into training, "
            "calibration and test: a group (a patient, or copies of a picture) is never on two "
            f"sides, so that {len(PARTS)} groups are the fewest."
        )
    first: dict[int, str] = {}
    for group, name in zip(own.tolist(), names, strict=True):
        if group not in first or name < first[group]:
            first[group] = name
    order = sorted(range(len(sizes)), key=lambda g: stream_key(seed, "split", first[g]))
    begin = np.cumsum(sizes[order]) - sizes[order]
    # The least beyond a cut, so that 0.7 x 10 is 7 images however it is rounded.
    cuts = np.cumsum([shares[part] for part in PARTS])[:-1] * len(names) - 1e-6
    parts = np.searchsorted(cuts, begin, "left")
    _fill(parts)
    of_group = np.empty(len(order), np.int64)
    of_group[order] = parts
    return of_group[own]


def _fill(parts: np.ndarray) -> None:
    """Gives a part without a group the last one of the part that has most."""
    for part in range(len(PARTS)):
        counts = np.bincount(parts, minlength=len(PARTS))
        if not counts[part]:
            parts[np.flatnonzero(parts == counts.argmax())[-1]] = part
