"""Shifting transformations by their properties, and the free rotation against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import names
from ssl_ood.common.streams import stream
from ssl_ood.views import shifts

SIZES = st.integers(1, 4).map(lambda k: 4 * k)
SEEDS = st.integers(0, 2**32)


class Angle:
    """Stands for a generator whose one draw is known (radians)."""

    def __init__(self, radians):
        self.radians = radians

    def uniform(self, low, high, count):
        return np.full(count, self.radians)


def make_images(count, size, seed=0):
    """Images in which no two pixels are the same, as far as 24 bits allow."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def sorted_pixels(images):
    """Every image's pixels as numbers, sorted: its multiset."""
    weights = torch.tensor([65536, 256, 1])
    return (images.long() * weights).sum(-1).flatten(1).sort(dim=1).values


@pytest.mark.parametrize("name", ["rot90", "perm4", "perm16", "pixel_shuffle"])
@settings(deadline=None, max_examples=30)
@given(size=SIZES, seed=SEEDS)
def test_pixels_are_only_moved(name, size, seed):
    images = make_images(3, size, seed)
    shifted = shifts.shift_of(name)(images, stream(seed, "shift"))
    assert shifted.shape == images.shape
    assert shifted.dtype == torch.uint8
    assert torch.equal(sorted_pixels(shifted), sorted_pixels(images))


@settings(deadline=None, max_examples=30)
@given(size=SIZES, seed=SEEDS)
def test_rot90_four_times_is_identity(size, seed):
    images = turned = make_images(5, size, seed)
    for _ in range(4):
        turned = shifts.rot90(turned, stream(seed, "turn"))  # the same turn each time
    assert torch.equal(turned, images)


def test_rot90_turns_as_numpy_does(device):
    images = make_images(4, 6)
    found = shifts.rotate_quarters(images.to(device), np.array([0, 1, 2, 7])).cpu()
    for image, turned, turns in zip(images, found, [0, 1, 2, 3], strict=True):
        np.testing.assert_array_equal(turned, np.rot90(image, turns))


def test_rot90_draws_the_three_turns_equally_often():
    image = torch.arange(4, dtype=torch.uint8).view(1, 2, 2, 1).expand(6000, 2, 2, 3)
    turned = shifts.rot90(image.contiguous(), stream(0, "turns"))[:, 0, 0, 0]
    corners = {1: 1, 2: 3, 3: 2}  # what comes to the upper left
    counts = [int((turned == corner).sum()) for corner in corners.values()]
    assert sum(counts) == 6000  # never the identity
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("name", "parts"), [("perm4", 2), ("perm16", 4)])
def test_patches_stay_whole_and_are_never_left_in_place(name, parts):
    size, side = 8, 8 // parts
    number = torch.arange(parts * parts).view(parts, parts)
    number = number.repeat_interleave(side, 0).repeat_interleave(side, 1)
    inside = torch.arange(side * side).view(side, side).repeat(parts, parts)
    image = torch.stack([number, inside, number], dim=-1).to(torch.uint8)
    shifted = shifts.shift_of(name)(image.expand(2000, size, size, 3).contiguous(), stream(0, name))
    assert torch.equal(shifted[..., 1], inside.to(torch.uint8).expand(2000, size, size))
    blocks = shifted[..., 0].view(2000, parts, side, parts, side).transpose(2, 3).flatten(3)
    assert (blocks == blocks[..., :1]).all()  # one patch a place
    order = blocks[..., 0].flatten(1).long()
    assert torch.equal(order.sort(dim=1).values, torch.arange(parts**2).expand(2000, -1))
    assert not (order == torch.arange(parts**2)).all(dim=1).any()


def test_perm4_draws_the_23_other_orders_equally_often():
    orders = shifts.permutations(9200, 4, stream(0, "orders"))
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == 23
    assert [0, 1, 2, 3] not in found.tolist()
    assert stats.chisquare(counts).pvalue > 0.001


def test_pixel_shuffle_moves_the_channels_of_a_pixel_together_and_each_image_otherwise():
    images = make_images(1, 8).expand(3, 8, 8, 3).contiguous()
    shuffled = shifts.pixel_shuffle(images, stream(0, "shuffle"))
    assert not torch.equal(shuffled[0], shuffled[1])
    assert not torch.equal(shuffled[1], images[1])


@pytest.mark.parametrize("name", ["perm4", "perm16"])
def test_an_image_that_cannot_be_cut_is_refused(name):
    with pytest.raises(UserError) as error:
        shifts.shift_of(name)(make_images(1, 9), stream(0, "x"))
    parts = {"perm4": 2, "perm16": 4}[name]
    assert str(error.value) == (
        f"Images of 9 pixels cannot be cut into {parts} x {parts} equal patches: "
        f"choose a size that {parts} divides."
    )


@pytest.mark.parametrize("degrees", [10, 45, 90, 133, 180, 301])
def test_rot360_equals_scipys_bilinear_rotation(degrees, device):
    image = make_images(1, 24)
    found = shifts.rot360(image.to(device), Angle(np.deg2rad(degrees)))[0].cpu().numpy()
    expected = ndimage.rotate(
        image[0].double().numpy(), degrees, axes=(0, 1), reshape=False, order=1, mode="constant"
    )
    rows, columns = np.indices((24, 24)) - 11.5
    inside = np.hypot(rows, columns) < 11  # the border pixels' treatment differs
    # The found values are rounded to whole grey levels; sine and cosine are float32.
    assert np.abs(found - expected)[inside].max() <= 0.51


def test_rot360_leaves_the_corners_black_and_the_middle_filled():
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    turned = shifts.rot360(white, Angle(np.pi / 4))[0]
    assert turned[0, 0].tolist() == turned[31, 31].tolist() == [0, 0, 0]
    assert (turned[8:24, 8:24] == 255).all()


def test_rot360_draws_every_angle_equally_often():
    """The angle seen: where a bright dot to the right of the middle comes to lie."""
    dot = torch.zeros(1000, 65, 65, 3, dtype=torch.uint8)
    dot[:, 30:35, 58:63] = 255
    turned = shifts.rot360(dot, stream(0, "angles"))[..., 0].double()
    offset = torch.arange(65) - 32.0
    mass = turned.sum((1, 2))
    down = (turned.sum(2) * offset).sum(1) / mass
    right = (turned.sum(1) * offset).sum(1) / mass
    turns = torch.atan2(-down, right) / (2 * torch.pi) % 1
    assert stats.kstest(turns.numpy(), "uniform").pvalue > 0.001


@pytest.mark.parametrize("name", names("shift"))
def test_shifts_are_repeated_by_the_same_stream_only(name):
    images = make_images(4, 16)
    shift = shifts.shift_of(name)
    assert torch.equal(shift(images, stream(0, "a")), shift(images, stream(0, "a")))
    assert not torch.equal(shift(images, stream(0, "a")), shift(images, stream(0, "b")))


def test_no_shift_leaves_the_images_as_they_are():
    images = make_images(2, 8)
    assert shifts.shift_of(None)(images, stream(0, "x")) is images
