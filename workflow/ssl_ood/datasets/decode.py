"""One image: from encoded bytes or an array to (S, S, 3) uint8. Runs in the worker processes.

All sources go the same way: whole pictures, upright, in 256 levels by a scale that the picture has
no say in (see `pictures`, `dicom`, `levels`), and then one antialiased bicubic scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.archives import Damaged, Data, read
from ssl_ood.datasets.dicom import is_dicom, open_dicom
from ssl_ood.datasets.facts import Facts
from ssl_ood.datasets.levels import DecoderMissing, Range, Undecodable
from ssl_ood.datasets.pictures import Opened, open_picture

__all__ = ["DecoderMissing", "Decoding", "Undecodable", "to_square"]


@dataclass(frozen=True)
class Decoding:
    """How the images of a dataset are decoded.

    size: pixels of a side. grey: colour becomes luma. fit: `crop` scales the shorter side to the
    size and cuts the middle out of the longer one (in one step, without rounding in between),
    `squash` scales both sides. scale: the values of grey deeper than 8 bits that become black and
    white; None to go by what the formats declare.
    """

    size: int
    grey: bool = False
    fit: str = "crop"
    scale: Range | None = None

    @classmethod
    def of(cls, size: int, fit: str, options: Mapping[str, Any], dataset: str) -> Decoding:
        """From the options of a dataset of the catalogue. Raises UserError for what means nothing.

        `mode` is L or RGB, `range` [black, white].
        """
        mode = options.get("mode", "RGB")
        if mode not in ("L", "RGB"):
            raise UserError(
                f"The catalogue's option mode of {dataset} is {mode!r}; it can be L or RGB."
            )
        scale = options.get("range")
        if scale is not None:
            try:
                low, high = map(float, scale)
                scale = (low, high)
                meaningful = np.isfinite(scale).all() and low < high
            except (TypeError, ValueError):
                meaningful = False
            if not meaningful:
                raise UserError(
                    f"The catalogue's option range of {dataset} is {options['range']!r}; it must "
                    "be [black, white], two numbers of which the first is smaller."
                )
        return cls(size, mode == "L", fit, scale)

    def apply(self, data: Data | np.ndarray) -> tuple[np.ndarray, list[str], Facts]:
        """An image as (size, size, 3) uint8, what is remarkable about it, and its facts.

        Raises Undecodable, and UserError for a file that the system does not let us read.
        """
        if isinstance(data, np.ndarray):
            facts = Facts(width=data.shape[1], height=data.shape[0])
            if data.shape[:2] == (self.size, self.size) and not (self.grey and data.ndim == 3):
                return _three(data), [], facts
            opened = Opened(Image.fromarray(np.ascontiguousarray(data)), [], facts)
        else:
            opened = _open(data, self.scale)
        pixels = _three(np.asarray(self._scaled(opened.image)))
        return pixels, opened.remarks, opened.facts

    def _scaled(self, image: Image.Image) -> Image.Image:
        """The picture, of mode L or RGB, at the size, in grey where that is wanted."""
        if self.grey and image.mode != "L":
            image = image.convert("L")
        width, height = image.size
        box = (0.0, 0.0, float(width), float(height))
        if self.fit == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        if image.size == (self.size, self.size):
            return image
        try:
            return image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        except Exception as error:
            raise Undecodable(reason(error)) from error


def to_square(
    data: Data | np.ndarray,
    size: int,
    *,
    grey: bool = False,
    fit: str = "crop",
    scale: Range | None = None,
) -> np.ndarray:
    """The image as (size, size, 3) uint8, as `Decoding` says; grey in three equal channels.

    Raises Undecodable.
    """
    return Decoding(size, grey, fit, scale).apply(data)[0]


def _open(data: Data, scale: Range | None) -> Opened:
    try:
        content = read(data)
    except Damaged as error:
        raise Undecodable(str(error)) from error
    return (open_dicom if is_dicom(content) else open_picture)(content, scale)


def _three(pixels: np.ndarray) -> np.ndarray:
    """(S, S, 3) of (S, S) or (S, S, 3)."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
