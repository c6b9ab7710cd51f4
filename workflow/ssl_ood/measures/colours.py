"""Distributions of pixel values, how far apart two of them are, and whether two sets look alike.

Images are (N, S, S, 3) uint8. A distribution is (3, 256): the share of pixels by channel and value.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.measures.metrics import Interval

CHUNK = 2**22  # pixel values counted at a time, 32 MB of their places


def image_histograms(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels of each image by channel and value: (N, 3, 256)."""
    pixels = images.reshape(len(images), -1, 3).astype(np.int64)
    places = pixels + 256 * np.arange(3) + 768 * np.arange(len(images))[:, None, None]
    counts = np.bincount(places.ravel(), minlength=768 * len(images))
    return counts.reshape(len(images), 3, 256).astype(np.float32)


def color_distribution(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of pixels by channel and value, (3, 256), of (N, S, S, 3) uint8 images."""
    return _resampled(images, np.ones((1, len(images))))[0]


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Common area of two distributions: 1 where they are equal, 0 where they are disjoint."""
    return float(np.minimum(one, other).sum())


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total variation distance of (..., 3, 256) distributions, in 0..1, mean over the channels."""
    return np.abs(one - other).sum(-1).mean(-1) / 2


class Likeness(NamedTuple):
    """How far the colours of a set are from those of a near one.

    near, far: distances of the set from the near and the far one; halves: of two random halves of
    the set from each other, which is what chance makes; share: (near - halves) / (far - halves), 0
    where the near set is as alike as two halves of one, 1 where it is as different as the far one.
    Chance makes less between whole sets than between halves, by a factor of about 0.7, so that a
    share near 0 may be negative.
    """

    near: float
    far: float
    halves: float
    share: Interval


def likeness(
    home: NDArray[np.uint8],
    near: NDArray[np.uint8],
    far: NDArray[np.uint8],
    *,
    seed: int = 0,
    resamples: int = 200,
    confidence: float = 0.95,
) -> Likeness:
    """See `Likeness`. The interval of the share is normal, with the standard deviation over
    bootstrap resamples of the images of every set, which follow from the seed.

    Raises UserError for fewer than two images, and where the far set is no further away than the
    halves: then there is no scale.
    """
    if len(home) < 2 or not len(near) or not len(far):
        raise UserError("Colours are compared of two images at least, and of one near and far.")
    order = stream(seed, "colours", "halves").permutation(len(home))
    halves = [home[np.sort(part)] for part in np.array_split(order, 2)]
    sets = {"first": halves[0], "second": halves[1], "near": near, "far": far}
    drawn = {
        name: _resampled(images, _draws(len(images), resamples, seed, name))
        for name, images in sets.items()
    }
    weight = len(halves[0]) / len(home)
    own = weight * drawn["first"] + (1 - weight) * drawn["second"]
    apart = distance(drawn["first"], drawn["second"])
    to_near, to_far = distance(own, drawn["near"]), distance(own, drawn["far"])
    if to_far[0] <= apart[0]:
        raise UserError("The far set is no further away in colour than two halves of one set.")
    shares = (to_near - apart) / (to_far - apart)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(shares[1:].std(ddof=1))
    share = Interval(float(shares[0]), float(shares[0]) - half, float(shares[0]) + half)
    return Likeness(float(to_near[0]), float(to_far[0]), float(apart[0]), share)


def _draws(count: int, resamples: int, seed: int, name: str) -> NDArray[np.float32]:
    """How often each image counts: once, then as often as it is drawn, (1 + resamples, count)."""
    equal = np.full(count, 1 / count)
    drawn = stream(seed, "colours", name).multinomial(count, equal, size=resamples)
    return np.vstack([np.ones(count), drawn]).astype(np.float32)


def _resampled(images: NDArray[np.uint8], draws: NDArray) -> NDArray[np.float64]:
    """The distribution of all pixels for each row of `draws`: (rows, 3, 256)."""
    counts = np.zeros((len(draws), 3, 256))
    step = max(1, CHUNK // images[0].size)
    for first in range(0, len(images), step):
        some = slice(first, first + step)
        counts += np.tensordot(draws[:, some], image_histograms(np.asarray(images[some])), 1)
    return counts / counts.sum(-1, keepdims=True)
