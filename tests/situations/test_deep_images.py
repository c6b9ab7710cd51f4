"""Grey of more than 8 bits: scaled by its format or its dataset, never by the picture."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.packing import folder_toy, packed_here
from support.situations import encoded, in_folders

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.decode import Undecodable, to_square

RAMP = np.tile(np.linspace(0, 1, 32), (32, 1))
DEEP = (RAMP * 65535).astype(np.uint16)


def tiff(values: np.ndarray, bits: int, order: str = "<", white_is_zero: bool = False) -> bytes:
    """An uncompressed grey TIFF of 12 or 16 bits a pixel; order: < or >, as in struct."""
    height, width = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        a, b = pairs[:, 0], pairs[:, 1]
        data = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], -1).astype(np.uint8).tobytes()
    else:
        data = values.astype(order + "u2").tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 0 if white_is_zero else 1),
            (273, 200), (277, 1), (278, height), (279, len(data))]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    return (head + struct.pack(order + "H", len(tags)) + entries + bytes(4)).ljust(
        200, b"\0"
    ) + data


def test_two_exposures_stay_different():
    dark, bright = (to_square(encoded((RAMP * top).astype(np.uint16)), 32) for top in (6e3, 6e4))
    assert np.abs(bright.astype(float) - 10 * dark.astype(float)).max() <= 5  # rounding, times ten
    assert bright.mean() > 100 > 20 > dark.mean()


def test_a_hot_pixel_changes_no_other():
    plain = to_square(encoded(DEEP // 2), 32)
    hot = DEEP // 2
    hot[3, 3] = 65535
    assert (to_square(encoded(hot), 32) != plain).any(axis=-1).sum() == 1


@pytest.mark.parametrize("content", [
    encoded(DEEP), encoded(DEEP, "TIFF"), tiff(DEEP, 16), tiff(DEEP, 16, ">"),
    encoded(RAMP.astype(np.float32), "TIFF"), tiff(DEEP >> 4, 12),
    tiff(65535 - DEEP, 16, white_is_zero=True),
])  # fmt: skip
def test_all_formats_give_the_same_levels(content):
    expected = np.round(RAMP * 255).astype(int)
    assert np.abs(to_square(content, 32)[..., 0] - expected).max() <= 1


def test_deep_colour_keeps_the_higher_byte():
    """Pillow gives no more; deep grey is rounded: they are a level apart at most."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 2**16, (16, 16), np.uint16)
    rows = b"".join(b"\0" + np.repeat(row[:, None], 3, 1).astype(">u2").tobytes() for row in grey)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    colour = to_square(content, 16)
    np.testing.assert_array_equal(colour[..., 1], grey >> 8)
    assert np.abs(colour.astype(int) - to_square(encoded(grey), 16)).max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", [None, (-5.0, 5.0)])
def test_pixels_that_are_no_numbers_are_refused(value, scale):
    image = RAMP.astype(np.float32)
    image[3, 3] = value
    with pytest.raises(Undecodable, match=r"has 1 pixel\(s\) that are NaN or infinite"):
        to_square(encoded(image, "TIFF"), 32, scale=scale)


@pytest.mark.parametrize(("image", "text"), [
    (RAMP.astype(np.float32) * 4000, "floating-point pixels from 0 to 4000"),
    (RAMP.astype(np.float32) - 1, "floating-point pixels from -1 to 0"),
    ((RAMP * 1e6).astype(np.int32), "signed or 32-bit pixels"),
])  # fmt: skip
def test_what_has_no_convention_needs_a_range(image, text):
    content = encoded(image, "TIFF")
    with pytest.raises(Undecodable, match=f"{text}.*declare the option `range`"):
        to_square(content, 32)
    scale = (float(image.min()), float(image.max()))
    levels = to_square(content, 32, scale=scale)[..., 0]
    assert np.abs(levels - np.round(RAMP * 255)).max() <= 1


def test_the_range_is_an_option_of_the_dataset(tmp_path):
    toy, root = folder_toy(tmp_path)
    twelve = (RAMP * 4095).astype(np.uint16)  # 12-bit numbers in a 16-bit file
    in_folders(
        root, {"a/deep.png": encoded(twelve), "a/shallow.png": encoded(np.uint8(RAMP * 255))}
    )
    dark = packed_here(toy, size=32)
    assert "less than a tenth of the grey levels" in str(dark.meta["remarks"])
    packed = packed_here(toy, size=32, options={"range": [0, 4095]})
    assert np.abs(packed.images[0].astype(int) - packed.images[1]).max() <= 1
    assert packed.meta["remarks"] == {}


@pytest.mark.parametrize("value", [[1, 0], [0, 0], [0, float("nan")], [0, float("inf")]])
def test_a_range_that_means_nothing_is_refused(tmp_path, value):
    toy, root = folder_toy(tmp_path)
    in_folders(root, {"a/0.png": encoded(DEEP)})
    with pytest.raises(UserError, match=r"option range of toy is .* must be .black, white."):
        packed_here(toy, options={"range": value})


def test_levels_of_8_bits_are_left_alone():
    image = Image.fromarray(np.uint8(RAMP * 200))
    np.testing.assert_array_equal(
        to_square(encoded(image), 32, scale=(0, 10)), to_square(encoded(image), 32)
    )
