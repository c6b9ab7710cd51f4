"""Encoded image files (JPEG, PNG, TIFF, WebP, BMP, GIF) as 8-bit pictures, all by the same rules.

No other format is tried, whatever a file's name says, and none of more than MOST_PIXELS is decoded.

- The picture is upright: the orientation in its EXIF or XMP is applied, whatever the format.
- The whole picture is decoded; a JPEG is never decoded at a part of its size.
- Colours are as stored. An alpha channel and a transparent palette entry are not looked at, as
  in torchvision and in `Image.convert("RGB")`; colour profiles and gamma are not applied.
- Grey of more than 8 bits is scaled by what the format declares: 0 to the largest number of its
  bits. Floating-point grey is taken to be 0 to 1. Signed and 32-bit grey have no such convention:
  the dataset must declare the `range` that becomes black and white, which goes before all
  conventions. Colour of 16 bits keeps the higher byte of each channel (at most one level less).
- Of a file with several pictures (animated, or of several pages) the first is taken, and said.
"""

from __future__ import annotations

import io
import math
import warnings
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ssl_ood.common.errors import reason
from ssl_ood.datasets.facts import Facts
from ssl_ood.datasets.impostors import LOOKED_AT, impostor
from ssl_ood.datasets.levels import Range, Undecodable, is_narrow, to_levels

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF")
SEVERAL = "hold several pictures, of which the first is taken"
NARROW = "use less than a tenth of the grey levels: is the range or window right?"
MOST_PIXELS = 100_000_000  # of one image: 10,000 x 10,000
BITS_PER_SAMPLE, PHOTOMETRIC, MIN_IS_WHITE = 258, 262, 0  # tags of TIFF
TILE_SIDES = (322, 323)  # TIFF's width and height of a tile, for which memory is taken as well

# What lies where a picture should, by how it begins; see `impostors` as well.
NO_PICTURES = (
    (b"<?xml", "is XML (perhaps SVG), not a picture of pixels"),
    (b"<svg", "is SVG, not a picture of pixels"),
    (b"pk\x03\x04", "is a zip archive, not a picture"),
    (b"%!ps", "is PostScript, not a picture of pixels"),
    (b"%pdf", "is a PDF, not a picture of pixels"),
)


class Opened(NamedTuple):
    """A picture of mode L or RGB, what is remarkable about it, and what its file says beside."""

    image: Image.Image
    remarks: list[str]
    facts: Facts


def open_picture(content: bytes, declared: Range | None) -> Opened:
    """The picture in a file, of mode L or RGB, what is remarkable about it, and its facts.

    declared: the values that become black and white in grey of more than 8 bits, where the dataset
    says so. Raises Undecodable.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EXIF that is damaged, and the like
        try:
            return _open(content, declared)
        except UnidentifiedImageError:
            raise Undecodable(_no_picture(content)) from None
        except Undecodable:
            raise
        except Exception as error:  # a damaged file makes Pillow trip over whatever comes first
            raise Undecodable(reason(error)) from error


def check_pixels(*sides: int) -> None:
    """Raises Undecodable for an image of these sides, and channels, if it is beyond every limit."""
    product = math.prod(sides)
    if min(sides) < 1 or product > MOST_PIXELS:
        text = " x ".join(f"{side:,}" for side in sides)
        raise Undecodable(f"declares {text} pixels, which is none or over {MOST_PIXELS:,}")


def _open(content: bytes, declared: Range | None) -> Opened:
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    check_pixels(*image.size)
    facts = Facts(len(content), image.format or "", *image.size)
    tags = getattr(image, "tag_v2", {})
    check_pixels(*(int(tags.get(tag, 1)) for tag in TILE_SIDES))
    remarks = [SEVERAL] if getattr(image, "is_animated", False) else []
    image.load()
    with suppress(Exception):  # EXIF that cannot be read turns nothing, as in a viewer
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        image = _shallow(image, declared)
        if is_narrow(np.asarray(image)):
            remarks.append(NARROW)
    image.info.pop("transparency", None)  # Pillow would warn of what it drops
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    return Opened(image, remarks, facts)


def _shallow(image: Image.Image, declared: Range | None) -> Image.Image:
    """Grey of more than 8 bits as 8-bit grey."""
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if declared is not None:
        scale = declared
    elif image.mode.startswith("I;16"):
        bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
        scale = (0.0, float(2**bits - 1))
    elif image.mode == "F":
        scale = (0.0, 1.0)
        finite = values[np.isfinite(values)]
        if finite.size and (finite.min() < 0 or finite.max() > 1):
            raise Undecodable(
                f"has floating-point pixels from {finite.min():g} to {finite.max():g}, not from 0 "
                "to 1: declare the option `range` of the dataset, the values that are black and "
                "white"
            )
    else:
        raise Undecodable(
            "has signed or 32-bit pixels, which no convention makes black or white: declare the "
            "option `range` of the dataset, the values that are black and white"
        )
    levels = to_levels(values, scale)
    if tags.get(PHOTOMETRIC) == MIN_IS_WHITE:  # Pillow inverts such grey of 8 bits, not deeper
        levels = 255 - levels
    return Image.fromarray(levels)


def _no_picture(content: bytes) -> str:
    if not content:
        return "is empty (0 bytes)"
    other = impostor(content[:LOOKED_AT])
    if other is not None:
        return f"is {other}"
    head = content[:64].lstrip().lower()
    for beginning, kind in NO_PICTURES:
        if head.startswith(beginning):
            return kind
    return f"cannot identify the kind of picture: it begins with {content[:12]!r}"
