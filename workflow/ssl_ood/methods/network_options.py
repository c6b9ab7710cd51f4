"""Options of timm.create_model in the config: what is wrong with one, before any is built."""

from __future__ import annotations

import math
import re
from typing import Any

# Options of timm.create_model whose kind is known: of a vision transformer, and of a ResNet.
COUNTS = ("embed_dim", "depth", "num_heads", "patch_size", "stem_chs")
LISTS = ("channels", "layers")  # of counts
FLAGS = ("zero_init_last",)


def option_fault(key: str, value: Any) -> str | None:
    """What is wrong with an option of a network, as the end of a sentence; None: nothing."""
    if fault := _not_meant(value):
        return fault
    if key in COUNTS and not _counts(value):
        return ", where a whole number of 1 or more belongs."
    if key in LISTS and not (isinstance(value, list | tuple) and value and _counts(*value)):
        return ", where a list of whole numbers of 1 or more belongs."
    if key in FLAGS and not isinstance(value, bool):
        return ", where true or false belongs."
    if key.endswith("_rate") and not (type(value) in (int, float) and 0 <= value < 1):
        return ", where a share belongs, a number from 0 on and below 1."
    return None


def _counts(*values: Any) -> bool:
    return all(type(value) is int and value > 0 for value in values)


def _not_meant(value: Any) -> str | None:
    """What no option of any network means."""
    if isinstance(value, list | tuple):
        return next(filter(None, map(_not_meant, value)), None)
    if isinstance(value, float) and not math.isfinite(value):
        return ": write a finite number."
    if isinstance(value, str) and (not value.strip() or re.match(r"[-+.]?\d", value)):
        return ", a text: write a number with a point, such as 8.0e-3, or a name."
    return ": write a value." if value is None else None
