"""Distances of colours by hand, and the interval against resampling image by image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ssl_ood.common.errors import UserError
from ssl_ood.measures import colours


def plain(*values, size=2):
    """Images of one grey value each."""
    return np.repeat(np.uint8(values), size * size * 3).reshape(len(values), size, size, 3)


def drawn(seed, count=40, middle=120):
    """Images of about one brightness each, of the middle."""
    rng = np.random.default_rng(seed)
    bright = rng.normal(middle, 25, (count, 1, 1, 1))
    return np.clip(bright + rng.normal(0, 12, (count, 4, 4, 3)), 0, 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(2), st.just(2), st.just(3))))
def test_histograms_count_the_pixels_of_each_image(images):
    found = colours.image_histograms(images)
    for image, counts in zip(images, found, strict=True):
        for channel in range(3):
            expected = np.histogram(image[..., channel], bins=256, range=(0, 256))[0]
            assert (counts[channel] == expected).all()


def test_distances_by_hand():
    """Two images of 10 and two of 20 become three and one where a quarter of the pixels moves."""
    half, most = (
        colours.color_distribution(plain(*v)) for v in ((10, 10, 20, 20), (10, 10, 10, 20))
    )
    other = colours.color_distribution(plain(30))
    assert colours.distance(half, most) == pytest.approx(0.25)
    assert colours.distance(half, half) == 0 and colours.distance(half, other) == 1
    assert colours.overlap(half[0], most[0]) == pytest.approx(0.75)


def test_the_distance_is_the_mean_over_the_channels():
    red = plain(10)
    red[..., 0] = 200
    distributions = [colours.color_distribution(images) for images in (plain(10), red)]
    assert colours.distance(*distributions) == pytest.approx(1 / 3)


def test_large_images_are_counted_in_parts(monkeypatch):
    images = drawn(0)
    whole = colours.color_distribution(images)
    monkeypatch.setattr(colours, "CHUNK", 7 * images[0].size)
    assert (colours.color_distribution(images) == whole).all()


def test_likeness_by_hand():
    """Halves of a set of one value are equal; a near set with a quarter of other pixels is a
    quarter of the way to a far set that shares none."""
    found = colours.likeness(plain(*[10] * 8), plain(10, 10, 10, 20), plain(30), resamples=50)
    assert (found.near, found.far, found.halves) == pytest.approx((0.25, 1, 0))
    assert found.share.value == pytest.approx(0.25)
    # Of 4 images one is other: the share of others among 4 drawn has the variance 3/16/4.
    half = 1.959964 * np.sqrt(3 / 64)
    assert found.share.high - 0.25 == pytest.approx(half, rel=0.25)
    assert found.share.high - 0.25 == pytest.approx(0.25 - found.share.low)


def test_sets_of_one_source_are_alike_and_the_far_set_is_not():
    home, alike, far = drawn(0, 400), drawn(1, 400), drawn(2, 400, middle=200)
    assert abs(colours.likeness(home, alike, far).share.value) < 0.1
    assert colours.likeness(home, far, far).share.value == pytest.approx(1)


def test_its_interval_is_that_of_drawing_images_again():
    """Image by image, with another generator; 400 times."""
    sets = drawn(0), drawn(1, middle=140), drawn(2, middle=200)
    found = colours.likeness(*sets, resamples=400)
    rng = np.random.default_rng(9)
    order = rng.permutation(len(sets[0]))
    parts = [sets[0][order[:20]], sets[0][order[20:]], *sets[1:]]
    shares = []
    for _ in range(400):
        again = [images[rng.integers(0, len(images), len(images))] for images in parts]
        one, two, near, far = map(colours.color_distribution, again)
        apart, own = colours.distance(one, two), (one + two) / 2
        to_near, to_far = (colours.distance(own, other) for other in (near, far))
        shares.append((to_near - apart) / (to_far - apart))
    deviation = (found.share.high - found.share.low) / 2 / 1.959964
    assert deviation == pytest.approx(np.std(shares), rel=0.2)


def test_it_follows_from_the_seed():
    sets = drawn(0), drawn(1), drawn(2, middle=200)
    assert colours.likeness(*sets, seed=3) == colours.likeness(*sets, seed=3)
    assert colours.likeness(*sets, seed=3) != colours.likeness(*sets, seed=4)


def test_without_a_scale_nothing_is_said():
    with pytest.raises(UserError, match="no further away in colour than two halves"):
        colours.likeness(drawn(0), drawn(1), drawn(0))
    with pytest.raises(UserError, match="two images at least"):
        colours.likeness(drawn(0, 1), drawn(1), drawn(2))
