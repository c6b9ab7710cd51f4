"""Encoded images of any origin, opened within bounds: known formats, and not beyond all size."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image

from ssl_ood.common.errors import reason
from ssl_ood.datasets.archives.bounds import BLOCK, RAW, Damaged, Inflated
from ssl_ood.datasets.impostors import LOOKED_AT, impostor

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")  # what the readers' datasets hold
MOST_PIXELS = 100_000_000  # of one image: 10,000 x 10,000
MOST_INFLATED = 1 << 27  # bytes of a deflated DICOM; a radiograph of 16 megapixels has 32 million
TILE_SIDES = (322, 323)  # TIFF's width and height of a tile, for which memory is taken as well


class Undecodable(Exception):
    """The image cannot be decoded; the text says why."""


def open_picture(content: bytes) -> Image.Image:
    """The image in a file's bytes, not decoded yet. Raises Undecodable."""
    other = impostor(content[:LOOKED_AT])
    if other is not None:
        raise Undecodable(f"is {other}")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise Undecodable(
            f"cannot identify it as {', '.join(FORMATS)}: it begins with {content[:8]!r}"
        ) from None
    except Exception as error:  # Pillow raises whatever a damaged header makes it trip over
        raise Undecodable(reason(error)) from error
    check_pixels(*image.size)
    tags = getattr(image, "tag_v2", {})
    check_pixels(*(int(tags.get(tag, 1)) for tag in TILE_SIDES))
    return image


def open_dicom(content: bytes) -> Any:
    """The pydicom record in a file's bytes, whose pixels may be decoded. Raises Undecodable."""
    import pydicom

    try:
        _check_inflated(content)
        record = pydicom.dcmread(io.BytesIO(content))
        sides = int(record.Rows), int(record.Columns)
        check_pixels(
            *sides, int(record.get("NumberOfFrames") or 1), record.get("SamplesPerPixel", 1)
        )
        inside = _codestream_sides(record)
        if inside not in (None, sides):
            raise Undecodable(
                f"no readable DICOM (it says {sides[0]} x {sides[1]} pixels, its picture "
                f"{inside[0]} x {inside[1]})"
            )
    except Undecodable:
        raise
    except Exception as error:  # pydicom raises whatever the damaged field makes it trip over
        raise Undecodable(f"no readable DICOM ({reason(error)})") from error
    return record


def check_pixels(*sides: int) -> None:
    """Raises Undecodable for an image of these sides, and frames, if it is beyond all measure."""
    product = 1
    for side in sides:
        product *= side
    if min(sides) < 1 or product > MOST_PIXELS:
        text = " x ".join(f"{side:,}" for side in sides)
        raise Undecodable(f"declares {text} pixels, which is none or over {MOST_PIXELS:,}")


def _check_inflated(content: bytes) -> None:
    """Raises Undecodable for a deflated DICOM that swells beyond measure.

    pydicom inflates it in one go, to whatever size it may have.
    """
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = io.BytesIO(content)
    read_preamble(file, False)
    meta = _read_file_meta_info(file)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    stream, done = Inflated(file.read, RAW), 0
    try:
        while block := stream.read(BLOCK):
            done += len(block)
            if done > MOST_INFLATED:
                raise Undecodable(f"no readable DICOM (it swells to over {MOST_INFLATED:,} bytes)")
    except Damaged as error:
        raise Undecodable(f"no readable DICOM (it {error})") from error


def _codestream_sides(record: Any) -> tuple[int, int] | None:
    """Height and width that a JPEG or JPEG 2000 inside a DICOM has for itself, if it is one."""
    from pydicom.encaps import generate_frames

    if not record.file_meta.TransferSyntaxUID.is_encapsulated:
        return None
    frame = next(generate_frames(record.PixelData, number_of_frames=1), b"")
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: its first segment is of sizes
        width, height, left, top = struct.unpack_from(">IIII", frame, 8)
        return height - top, width - left
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], struct.unpack_from(">H", frame, at + 2)[0]
        # SOF0 to SOF15 without tables (C4, CC) and reserved ones (C8); F7 is JPEG-LS.
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return struct.unpack_from(">HH", frame, at + 5)
        at += 2 + length
    return None
