"""A camera stores the picture on its side and says so: it is read upright from every format."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support.situations import encoded

from ssl_ood.datasets.decode import to_square

ORIENTATION = 0x0112
# What makes the stored picture of each value from the upright one (EXIF 2.32, section 4.6.4).
STORED = {
    1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud,
    5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x, 1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: lambda x: np.rot90(x, 3),
}  # fmt: skip


@pytest.fixture
def upright():
    """(24, 40, 3): no two corners alike, smooth enough for a JPEG."""
    rows, columns = np.mgrid[0:24, 0:40]
    return np.stack([rows * 8, columns * 5, rows * 3 + columns * 2], axis=-1).astype(np.uint8)


def tagged(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


@pytest.mark.parametrize("value", STORED)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_format_comes_out_upright(upright, form, value):
    stored = np.ascontiguousarray(STORED[value](upright))
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    got = to_square(encoded(stored, form, exif=tagged(value), **options), 24)
    expected = to_square(upright, 24)
    assert np.abs(got.astype(int) - expected).mean() <= (2 if form == "JPEG" else 0)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_deep_grey_comes_out_upright(upright, form):
    deep = upright[..., 0].astype(np.uint16) * 257
    stored = np.ascontiguousarray(np.rot90(deep, 1))
    got = to_square(encoded(stored, form, exif=tagged(6)), 24)
    np.testing.assert_array_equal(got, to_square(upright[..., 0], 24))


@pytest.mark.parametrize("value", [0, 9, 200])
def test_an_orientation_that_means_nothing_turns_nothing(upright, value):
    np.testing.assert_array_equal(
        to_square(encoded(upright, exif=tagged(value)), 24), to_square(upright, 24)
    )


def test_damaged_exif_turns_nothing(upright, recwarn):
    damaged = b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish"
    np.testing.assert_array_equal(
        to_square(encoded(upright, exif=damaged), 24), to_square(upright, 24)
    )
    assert not recwarn.list
