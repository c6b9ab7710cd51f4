"""NumPy's npy files, mapped into memory: the header is compared with the file before NumPy is."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from ssl_ood.common.errors import UserError, reason

MAGIC = b"\x93NUMPY"
MOST_HEADER = 1 << 16  # bytes; NumPy's own are 118 long
ITEM = re.compile(
    r"""\s* (?: ['"]descr['"]         \s*:\s* ['"] (?P<type> [<>|=]?[biuf][1248] ) ['"]
           | ['"]fortran_order['"] \s*:\s* (?P<columns_first> True|False )
           | ['"]shape['"]         \s*:\s* \( (?P<shape> [\d\s,L]* ) \) ) \s* (?:,\s*|$)""",
    re.VERBOSE,
)


class _Damaged(Exception):
    """The file is not an array of numbers; the text says why."""


def open_npy(path: Path) -> np.ndarray:
    """The array of an npy file, read-only and mapped into memory: whole numbers, floats or bools.

    Raises UserError for a file that is damaged, longer or shorter than its header says, pickled,
    or of any other type.
    """
    try:
        return _mapped(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is no longer there: fetch it again.") from error
    except Exception as error:
        raise UserError(
            f"{path} is truncated or no array of numbers ({reason(error)}): remove it and fetch it "
            "again."
        ) from error


def _mapped(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        begins = file.read(8)
        if len(begins) < 8 or begins[:6] != MAGIC:
            raise _Damaged(f"it begins with {begins!r}, as no npy file does")
        width = {1: 2, 2: 4, 3: 4}.get(begins[6])
        if width is None:
            raise _Damaged(f"version {begins[6]} of the format is unknown")
        size = int.from_bytes(file.read(width), "little")
        if size > MOST_HEADER:
            raise _Damaged(f"its header has {size:,} bytes")
        dtype, shape, columns_first = _header(file.read(size).decode("latin-1"))
        offset = file.tell()
    needed, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - offset
    if needed != there:
        raise _Damaged(f"{there:,} bytes for {dtype} {shape}, which needs {needed:,}")
    if not needed:
        return np.empty(shape, dtype)
    order = "F" if columns_first else "C"
    return np.memmap(path, dtype, "r", offset, shape, order)


def _header(text: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Type, shape and order of a header, a dictionary of Python's; nothing of it is evaluated."""
    inside, fields, at = text.strip()[1:-1], {}, 0
    while match := ITEM.match(inside, at):
        fields |= {key: value for key, value in match.groupdict().items() if value is not None}
        at = match.end()
    if at < len(inside) or fields.keys() != {"type", "columns_first", "shape"}:
        raise _Damaged(f"its header is not of numbers: {text[:100]!r}")
    lengths = [n.strip().rstrip("L") for n in fields["shape"].split(",") if n.strip()]
    if len(lengths) > 32 or any(not n.isdigit() or len(n) > 15 for n in lengths):
        raise _Damaged(f"its shape is ({fields['shape'][:100]})")
    return np.dtype(fields["type"]), tuple(map(int, lengths)), fields["columns_first"] == "True"
