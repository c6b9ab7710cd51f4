"""Pictures that swell or are none: DICOM, PNG text, impossible sides, other formats by the name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.bounded import bounded
from support.damaged import dicom
from support.situations import encoded, noise

from ssl_ood.datasets.decode import Decoding, Undecodable, to_square
from ssl_ood.datasets.decoding import decode_block
from ssl_ood.datasets.pictures import FORMATS

SWOLLEN = 300 << 20


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(*more: bytes, sides: tuple[int, int] = (8, 8), data: bytes | None = None) -> bytes:
    """A grey PNG with further chunks before its pixels."""
    width, height = sides
    pixels = zlib.compress(bytes((width + 1) * height)) if data is None else data
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(more)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def refused(content: bytes, text: str) -> None:
    """It is refused by a line with this text, in little memory and time."""

    def decodes() -> str:
        with pytest.raises(Undecodable, match=text) as raised:
            to_square(content, 16)
        return str(raised.value)

    outcome = bounded(decodes, seconds=20)
    assert outcome.ended is None and "\n" not in outcome.value
    assert outcome.peak < 60 and outcome.seconds < 15


@pytest.fixture(scope="module")
def zeros():
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(300)), packer.flush()])


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_png_text_that_swells(zeros, kind):
    begins = {"zTXt": b"k\0\0", "iTXt": b"k\0\1\0\0\0", "iCCP": b"k\0\0"}[kind]
    refused(png(chunk(kind.encode(), begins + zeros)), "too large")


def test_png_text_that_swells_little_by_little():
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000)))
    refused(png(text * 100), "Too much memory used in text chunks")


@pytest.mark.parametrize("form", ["PNG", "BMP", "JPEG", "WEBP", "TIFF", "GIF"])
def test_sides_beyond_measure(form, rng):
    content = bytearray(encoded(noise(rng, 24), form))
    if form == "PNG":
        content = bytearray(png(sides=(1 << 30, 8), data=b""))
    elif form == "BMP":
        content[18:26] = struct.pack("<ii", 60_000, 60_000)
    elif form == "GIF":
        content[6:10] = struct.pack("<HH", 60_000, 60_000)
    elif form == "JPEG":
        at = content.find(b"\xff\xc0")
        content[at + 5 : at + 9] = b"\xff\xff" * 2
    elif form == "TIFF":
        for tag in (256, 257):  # width and height, as shorts or longs
            at = content.find(struct.pack("<H", tag), 4)
            content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 1 << 20)
    else:  # WebP has 14 bits for a side
        at = content.find(b"\x9d\x01\x2a")
        content[at + 3 : at + 7] = b"\xff\x3f" * 2
    refused(bytes(content), "pixels|exceeds limit|image file is truncated")


def test_a_tiff_with_a_tile_beyond_measure(rng):
    tags = [(256, 24), (257, 24), (258, 8), (259, 8), (262, 1), (277, 1), (322, 1 << 20),
            (323, 1 << 20), (324, 200), (325, 10)]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", t, 4, 1, v) for t, v in tags
    )
    content = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    refused(content.ljust(200, b"\0") + zlib.compress(bytes(100)), "declares .* pixels")


@pytest.mark.parametrize("form", ["EPS", "PDF", "PPM", "ICO", "TGA", "PCX"])
def test_formats_that_no_dataset_has_are_not_tried(form, rng):
    refused(encoded(noise(rng), form), "cannot identify the kind of picture|is PostScript|is a PDF")


def test_what_is_no_picture_is_named(rng):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
    for content, text in (
        (pointer, "is a pointer of Git-LFS and not the file itself"),
        (b"\n<!DOCTYPE html><html>Sorry</html>", "is a web page and not the file itself"),
        (b"", "is empty"), (bytes(1000), "cannot identify"),
    ):  # fmt: skip
        with pytest.raises(Undecodable, match=text):
            to_square(content, 16)


@pytest.mark.parametrize("form", FORMATS)
def test_the_formats_that_datasets_have_are_read(form, rng):
    values = np.repeat(np.repeat(noise(rng, 4), 4, 0), 4, 1)
    pixels = to_square(encoded(values, form), 16)
    assert np.abs(pixels.astype(int) - values[:, :, None]).mean() < 6


def test_a_deflated_dicom_that_swells():
    whole = dicom(np.zeros((8, 8), np.uint8), deflated=True)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, SWOLLEN))
    body += b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    refused(whole[: _end_of_meta(whole)] + body, "it expands to over")


def _end_of_meta(content: bytes) -> int:
    """Where the file's own elements end: their length stands in the first of them."""
    (length,) = struct.unpack_from("<I", content, 140)
    return 144 + length


def test_a_deflated_dicom_of_right_size_is_read(rng):
    pixels = noise(rng, 16)
    np.testing.assert_array_equal(to_square(dicom(pixels, deflated=True), 16)[..., 0], pixels)


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2_000_000_000}, {"Rows": 0},
        {"NumberOfFrames": -5}, {"SamplesPerPixel": 60000},
    ],
)  # fmt: skip
def test_a_dicom_of_impossible_sides(rng, changes):
    refused(
        dicom(noise(rng, 256), **changes),
        "declares .* pixels|no readable DICOM|frames, not one picture",
    )


def test_a_dicom_whose_picture_inside_has_other_sides(rng):
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    inside = bytearray(encoded(noise(rng, 24), "JPEG"))
    at = inside.find(b"\xff\xc0")
    inside[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    content = dicom(noise(rng, 24), PixelData=encapsulate([bytes(inside)]))
    content = _with_syntax(content, JPEGBaseline8Bit)
    refused(content, "it says 24 x 24 pixels, its picture 65000 x 65000")


def _with_syntax(content: bytes, syntax: str) -> bytes:
    import pydicom

    record = pydicom.dcmread(io.BytesIO(content))
    record.file_meta.TransferSyntaxUID = syntax
    record["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    record.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_one_bad_picture_is_not_the_end_of_the_others(rng, monkeypatch):
    good = encoded(noise(rng))
    pixels, bad, *_ = decode_block([good, b"%!PS-Adobe", good], Decoding(16))
    assert len(pixels) == 2 and list(bad) == [1]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    monkeypatch.setattr(Image.Image, "resize", lambda *_, **__: 1 / 0)
    _, bad, *_ = decode_block([good], Decoding(16))
    assert {place: str(error) for place, error in bad.items()} == {0: "division by zero"}
