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
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ssl_ood.common.errors import reason
from ssl_ood.datasets.archives.bounds import BLOCK, RAW, Damaged, Inflated
from ssl_ood.datasets.facts import Facts, of_header
from ssl_ood.datasets.levels import DecoderMissing, Range, Undecodable, is_narrow, to_levels
from ssl_ood.datasets.pictures import NARROW, Opened, check_pixels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_INFLATED = 1 << 27  # bytes of a deflated file; a radiograph of 16 megapixels has 32 million
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


def open_dicom(content: bytes, declared: Range | None) -> Opened:
    """The picture in a DICOM file, of mode L or RGB, what is remarkable about it, and its facts.

    declared: the rescaled values that become black and white, where the dataset says so. Raises
    Undecodable; DecoderMissing where a decoder is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that break the standard but can be read
        try:
            record = _record(content)
            levels = _levels(record, declared)
            header = of_header(record)
        except Undecodable:
            raise
        except Exception as error:  # pydicom raises whatever the damaged field makes it trip over
            raise Undecodable(f"no readable DICOM ({reason(error)})") from error
    height, width = levels.shape[:2]
    facts = Facts(len(content), "DICOM", width, height, **header)
    return Opened(Image.fromarray(levels), [NARROW] if is_narrow(levels) else [], facts)


def _record(content: bytes) -> Dataset:
    import pydicom

    force = content[128:132] != b"DICM"  # without preamble
    _check_inflated(content, force)
    record = pydicom.dcmread(io.BytesIO(content), force=force)
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


def _check_inflated(content: bytes, force: bool) -> None:
    """Raises Undecodable for a deflated file that expands beyond measure.

    pydicom inflates it in one go, to whatever size it may have.
    """
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = io.BytesIO(content)
    read_preamble(file, force)
    meta = _read_file_meta_info(file)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    stream, done = Inflated(file.read, RAW), 0
    try:
        while block := stream.read(BLOCK):
            done += len(block)
            if done > MOST_INFLATED:
                raise Undecodable(f"no readable DICOM (it expands to over {MOST_INFLATED:,} bytes)")
    except Damaged as error:
        raise Undecodable(f"no readable DICOM (it {error})") from error


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
    sides = int(record.Rows), int(record.Columns)
    check_pixels(*sides, int(record.get("SamplesPerPixel", 1)))
    syntax = record.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Undecodable(f"a DICOM packed as {syntax.name}, which is not supported") from None
    inside = _codestream_sides(record)
    if inside not in (None, sides):
        raise Undecodable(
            f"no readable DICOM (it says {sides[0]} x {sides[1]} pixels, its picture "
            f"{inside[0]} x {inside[1]})"
        )
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


def _codestream_sides(record: Dataset) -> tuple[int, int] | None:
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
