"""One image: from encoded bytes or an array to (S, S, 3) uint8. Runs in the worker processes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ssl_ood.common.errors import reason
from ssl_ood.datasets.archives import Damaged, Data, read
from ssl_ood.datasets.encoded import Undecodable, open_dicom, open_picture

# A JPEG is decoded at a half, quarter or eighth of its size, by the cosine transform's own
# reduction, where that leaves at least this many pixels for one of the result. From 500 x 375
# to 32 x 32, measured: twice as fast, and half a grey level away from full decoding (7 at most).
DRAFT_GAP = 2.5


def to_square(
    data: Data | np.ndarray, size: int, *, grey: bool = False, fit: str = "crop"
) -> np.ndarray:
    """The image as (size, size, 3) uint8: antialiased bicubic.

    `fit="crop"` scales the shorter side to `size` and cuts the middle out of the longer one (in
    one step, without rounding in between); `"squash"` scales both sides. `grey` turns colour into
    luma before scaling; grey images come out with three equal channels. Raises Undecodable.
    """
    if isinstance(data, np.ndarray):
        if data.shape[:2] == (size, size) and not (grey and data.ndim == 3):
            return data if data.ndim == 3 else np.repeat(data[:, :, None], 3, axis=2)
        image = Image.fromarray(np.ascontiguousarray(data))
        width, height = image.size
    else:
        image, width, height = _decode(data, size)
    try:
        image = _to_mode(image, "L" if grey else "RGB")
        box = (0.0, 0.0, width, height)
        if fit == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
        pixels = np.asarray(image)
    except Exception as error:
        raise Undecodable(reason(error)) from error
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _decode(data: Data, size: int) -> tuple[Image.Image, float, float]:
    """The image and its exact width and height, which a JPEG decoded small rounds up."""
    try:
        content = read(data)
    except Damaged as error:
        raise Undecodable(str(error)) from error
    if content[128:132] == b"DICM":
        image = Image.fromarray(_dicom(content))
        return image, *image.size
    image = open_picture(content)
    try:
        wanted = int(size * DRAFT_GAP)
        drafted = image.draft(None, (wanted, wanted))  # does nothing to formats other than JPEG
        image.load()
    except Exception as error:  # Pillow raises whatever damaged content makes it trip over
        raise Undecodable(reason(error)) from error
    return image, *(drafted[1][2:] if drafted else image.size)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode.startswith(("I", "F")):  # deeper than 8 bit: spread over what is there
        values = np.asarray(image, np.float64)
        low, high = values.min(), values.max()
        scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
        image = Image.fromarray(np.round(scaled).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "PA"):
        image = image.convert("RGBA")
    return image.convert(mode)


def _dicom(content: bytes) -> np.ndarray:
    """(H, W) uint8 of a DICOM radiograph: 8 bit as they are, deeper ones by their stored bits."""
    record = open_dicom(content)
    try:
        pixels = record.pixel_array
        bits = int(record.BitsStored)
        inverted = record.get("PhotometricInterpretation") == "MONOCHROME1"
    except Exception as error:  # pydicom raises whatever the damaged field makes it trip over
        raise Undecodable(f"no readable DICOM ({reason(error)})") from error
    if pixels.ndim != 2:
        raise Undecodable(f"a DICOM of shape {pixels.shape}, not one grey picture")
    if bits > 8 or pixels.dtype != np.uint8:
        top = float(2**bits - 1)
        pixels = np.round(np.clip(pixels.astype(np.float64) / top, 0, 1) * 255).astype(np.uint8)
    return 255 - pixels if inverted else pixels
