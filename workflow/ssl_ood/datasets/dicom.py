"""DICOM files as 8-bit pictures, as a viewer shows them: PS3.3 C.7.6.3, C.11.1 and C.11.2.

Grey: the stored bits of each pixel, signed or not; the modality lookup table or rescale slope and
intercept; then the first lookup table or window of the file. A file without a window is scaled by
its stored bits, from 0 to the largest number; signed pixels without a window have no black and are
refused. A dataset may declare the `range` of rescaled values that become black and white, for all
its files alike; it goes before windows. MONOCHROME1 is inverted at the end.
Colour: RGB, YBR and palettes, scaled by their bits. One frame a file; overlays, padding values and
presentation states are not looked at.
"""

from __future__ import annotations

import io
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ssl_ood.datasets.levels import (
    DecoderMissing,
    Range,
    Undecodable,
    is_narrow,
    one_line,
    to_levels,
)
from ssl_ood.datasets.pictures import NARROW

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
MOST_BYTES = 1 << 28  # that a deflated file may swell to
MOST_PIXELS = 2 * (1 << 30) // 12  # times channels: what Pillow refuses as a bomb, about
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420")
# Enhanced objects keep these one level deeper, in their functional groups.
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
GROUPED = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}


def is_dicom(content: bytes) -> bool:
    """Whether a file is DICOM; one without preamble begins with group 2 or 8 of its data."""
    return content[128:132] == b"DICM" or content[:2] in (b"\2\0", b"\x08\0", b"\0\x08")


def open_dicom(content: bytes, declared: Range | None) -> tuple[Image.Image, list[str]]:
    """The picture in a DICOM file, of mode L or RGB, and what is remarkable about it.

    declared: the rescaled values that become black and white, where the dataset says so. Raises
    Undecodable; DecoderMissing where a decoder is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard but can be read
        try:
            levels = _levels(_record(content), declared)
        except Undecodable:
            raise
        except Exception as error:  # pydicom raises whatever the damaged field makes it trip over
            raise Undecodable(f"no readable DICOM ({one_line(error)})") from None
    return Image.fromarray(levels), [NARROW] if is_narrow(levels) else []


def _record(content: bytes) -> Dataset:
    import pydicom

    _refuse_swelling(content)
    record = pydicom.dcmread(io.BytesIO(content), force=content[128:132] != b"DICM")
    meta = getattr(record, "file_meta", None) or pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit, little = record.original_encoding
        meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian
            if implicit
            else pydicom.uid.ExplicitVRLittleEndian
            if little
            else pydicom.uid.ExplicitVRBigEndian
        )
    record.file_meta = meta
    for group in GROUPS:
        for item in record.get(group) or ():
            for name, keys in GROUPED.items():
                for inner in item.get(name) or ():
                    for key in keys:
                        if key in inner and key not in record:
                            record[key] = inner[key]
    return record


def _refuse_swelling(content: bytes) -> None:
    """A deflated file gives no more than MOST_BYTES; pydicom would inflate it whatever it gives."""
    if DEFLATED.encode() not in content[:1024]:
        return
    length = int.from_bytes(content[140:144], "little")  # of the meta group, from its first tag
    stream = zlib.decompressobj(-15)
    out = len(stream.decompress(content[144 + length :], MOST_BYTES))
    if out >= MOST_BYTES:
        raise Undecodable(f"is a deflated DICOM that swells beyond {MOST_BYTES >> 20} MiB")


def _levels(record: Dataset, declared: Range | None) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8."""
    from pydicom.pixels import apply_color_lut

    kind = record.get("PhotometricInterpretation")
    pixels = _pixels(record)
    if kind == "PALETTE COLOR":
        bits = int(record.RedPaletteColorLookupTableDescriptor[2])
        return to_levels(apply_color_lut(pixels, record)[..., :3], (0, 2**bits - 1))
    if pixels.ndim == 3 and pixels.shape[2] == 3 and kind in COLOUR:
        return to_levels(pixels, (0, 2 ** int(record.BitsStored) - 1))
    if pixels.ndim != 2:
        raise Undecodable(f"a DICOM of shape {pixels.shape} and kind {kind}, not one picture")
    levels = _grey_levels(_stored(pixels, record), record, declared)
    return 255 - levels if kind == "MONOCHROME1" else levels


def _pixels(record: Dataset) -> np.ndarray:
    """The decoded pixels of the only frame, colour as RGB."""
    from pydicom.pixels import get_decoder, pixel_array

    frames = int(record.get("NumberOfFrames") or 1)
    if frames != 1:
        raise Undecodable(f"a DICOM of {frames} frames, not one picture: take the frames apart")
    numbers = [int(record.get(k) or 1) for k in ("Rows", "Columns", "SamplesPerPixel")]
    if np.prod(numbers, dtype=object) > MOST_PIXELS:
        raise Undecodable(f"a DICOM of {numbers[0]:,} x {numbers[1]:,} pixels: too large")
    syntax = record.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Undecodable(f"a DICOM packed as {syntax.name}, which is not supported") from None
    try:
        # Bits that are not stored are left to `_stored`: pydicom takes HighBit to be the usual.
        return pixel_array(record, correct_unused_bits=False)
    except Exception:
        missing = [text for text in decoder.missing_dependencies if text.startswith("pylibjpeg")]
        if not missing:
            raise
        raise DecoderMissing(
            f"a DICOM packed as {syntax.name}, whose decoder is not installed: install pylibjpeg, "
            "pylibjpeg-libjpeg and pylibjpeg-openjpeg"
        ) from None


def _stored(pixels: np.ndarray, record: Dataset) -> np.ndarray:
    """The BitsStored bits below HighBit of each pixel: what lies beside them is none of it."""
    if pixels.dtype.kind == "f":
        return pixels
    stored, allocated = int(record.BitsStored), 8 * pixels.dtype.itemsize
    if stored >= allocated or int(record.BitsAllocated) < 8:
        return pixels
    # Only plain pixels can lie higher up; a codec gives the numbers themselves.
    native = not record.file_meta.TransferSyntaxUID.is_encapsulated
    shift = max(int(record.get("HighBit", stored - 1)) - (stored - 1), 0) if native else 0
    bits = pixels.view(pixels.dtype.str.replace("i", "u")).astype(np.int64) >> shift
    bits &= (1 << stored) - 1
    if _signed(record):
        bits -= (bits >> (stored - 1)) << stored
    return bits


def _grey_levels(values: np.ndarray, record: Dataset, declared: Range | None) -> np.ndarray:
    from pydicom.pixels import apply_modality_lut, apply_voi

    rescaled = apply_modality_lut(values, record)
    if declared is not None:
        return to_levels(rescaled, declared)
    if record.get("VOILUTSequence"):
        bits = int(record.VOILUTSequence[0].LUTDescriptor[2])
        return to_levels(apply_voi(np.round(rescaled).astype(int), record), (0, 2**bits - 1))
    window = _first(record, "WindowCenter"), _first(record, "WindowWidth")
    if None not in window:
        function = str(record.get("VOILUTFunction") or "LINEAR")
        return to_levels(_windowed(rescaled, *window, function), (0, 1))
    return to_levels(rescaled, _by_bits(values, record))


def _by_bits(values: np.ndarray, record: Dataset) -> Range:
    """The rescaled values that are black and white in a file that has no window."""
    if record.get("ModalityLUTSequence"):
        return 0, 2 ** int(record.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    if values.dtype.kind == "f" or _signed(record):
        kind = "floating-point" if values.dtype.kind == "f" else "signed"
        raise Undecodable(
            f"a DICOM of {kind} pixels without a window, which say not what is black: declare the "
            "option `range` of the dataset, the rescaled values that are black and white"
        )
    slope = float(record.get("RescaleSlope", 1))
    intercept = float(record.get("RescaleIntercept", 0))
    ends = intercept, slope * (2 ** int(record.BitsStored) - 1) + intercept
    if ends[0] == ends[1]:
        raise Undecodable("a DICOM with a rescale slope of 0")
    return min(ends), max(ends)


def _windowed(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Values in 0..1 by a window: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise Undecodable(f"a DICOM with a window of width {width:g}")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if function != "LINEAR":
        raise Undecodable(f"a DICOM with a window of the unknown kind {function}")
    center -= 0.5
    if width == 1:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / (width - 1) + 0.5, 0, 1)


def _signed(record: Dataset) -> bool:
    return bool(int(record.get("PixelRepresentation") or 0))


def _first(record: Dataset, key: str) -> float | None:
    """The first of the values of an element; None if it is not there or empty."""
    value: Any = record.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return float(value)
    return float(value[0]) if len(value) else None
