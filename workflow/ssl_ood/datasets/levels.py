"""From stored values to 256 grey levels, by what a format or a dataset declares.

The scale is never taken from the picture itself: two exposures of one scene must stay different,
and one hot pixel must not darken a film.
"""

from __future__ import annotations

import numpy as np

Range = tuple[float, float]  # the values that become black and white

# Of the 255 steps between black and white: what a picture spans at least, if its scale fits it.
NARROW = 25.5


class Undecodable(Exception):
    """The image cannot be decoded; the text says why, in one line."""


class DecoderMissing(Undecodable):
    """The image may be whole, but what decodes it is not installed: no reason to leave it out."""


def to_levels(values: np.ndarray, scale: Range) -> np.ndarray:
    """`values` of any shape as uint8: scale[0] and below is 0, scale[1] and above is 255.

    Raises Undecodable for pixels that are NaN or infinite.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise Undecodable(f"has {count:,} pixel(s) that are NaN or infinite")
    low, high = scale
    share = (values.astype(np.float64) - low) / (high - low)
    return np.round(np.clip(share, 0, 1) * 255).astype(np.uint8)


def is_narrow(levels: np.ndarray) -> bool:
    """Whether uint8 levels span less than a tenth of the range: the scale hardly fits them."""
    return int(levels.max()) - int(levels.min()) < NARROW
