"""DICOM files of any kind, and what the standard makes of their numbers, written down slowly."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage


def dicom(
    pixels: np.ndarray, syntax: UID = ExplicitVRLittleEndian, frame: bytes = b"", **tags: Any
) -> bytes:
    """A file of one grey picture (H, W) or a colour one (H, W, 3), of 8, 16 or 32 bits.

    frame: the encoded pixels of a compressed syntax. tags: elements to set; None leaves one out.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    record = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    bits = 8 * pixels.dtype.itemsize
    record.Rows, record.Columns = pixels.shape[:2]
    record.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    record.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        record.PlanarConfiguration = 0
    record.BitsAllocated, record.BitsStored, record.HighBit = bits, bits, bits - 1
    record.PixelRepresentation = int(pixels.dtype.kind == "i")
    record.PixelData = encapsulate([frame]) if frame else pixels.tobytes()
    record["PixelData"].VR = "OB" if frame or bits == 8 else "OW"
    for name, value in tags.items():
        if value is None:
            delattr(record, name)
        else:
            setattr(record, name, value)
    stream = io.BytesIO()
    record.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def by_the_standard(stored: int, tags: dict[str, Any]) -> int:
    """The grey level, 0 to 255, of one number of BitsAllocated bits: PS3.3 C.11, in plain Python.

    tags: BitsStored, HighBit, PixelRepresentation, PhotometricInterpretation, and where they are
    there RescaleSlope, RescaleIntercept, WindowCenter, WindowWidth, VOILUTFunction.
    """
    bits = tags["BitsStored"]
    value = (stored >> (tags["HighBit"] + 1 - bits)) % 2**bits
    if tags["PixelRepresentation"] and value >= 2 ** (bits - 1):
        value -= 2**bits
    slope, intercept = tags.get("RescaleSlope", 1), tags.get("RescaleIntercept", 0)
    x = slope * value + intercept
    if "WindowCenter" in tags:
        share = _window(x, tags["WindowCenter"], tags["WindowWidth"], tags.get("VOILUTFunction"))
    else:
        ends = sorted((intercept, slope * (2**bits - 1) + intercept))
        share = (x - ends[0]) / (ends[1] - ends[0])
    level = int(np.round(share * 255))
    return 255 - level if tags["PhotometricInterpretation"] == "MONOCHROME1" else level


def _window(x: float, c: float, w: float, function: str | None) -> float:
    if function == "SIGMOID":
        return 1 / (1 + math.exp(min(-4 * (x - c) / w, 700)))
    if function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0.0
        return 1.0 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5
