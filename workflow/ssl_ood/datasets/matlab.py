"""Numeric arrays of MATLAB's v5 files, as far as SVHN needs them.

The format: 128 bytes of text and version, then elements of a tag (type, bytes) and content; a
variable is an element of such elements, mostly inside one that is deflated as a whole.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.archives.bounds import BLOCK, WRAPPED, Bounds, Damaged, Inflated

MATRIX, COMPRESSED = 14, 15
STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
# How an array's numbers are meant; they may be stored in less room.
MEANT = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
COMPLEX = 0x0800

Read = Callable[[int], bytes]


def load_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of these names, columns first as MATLAB has them.

    Raises UserError for a file that is damaged, of another version, or has no such arrays.
    """
    try:
        with open(path, "rb") as file:
            variables = _variables(file, names, Bounds(path))
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is no longer there: fetch it again.") from error
    except Exception as error:
        raise UserError(
            f"{path} is truncated or no SVHN file, of MATLAB's version 5 ({reason(error)}): remove "
            "it and fetch it again."
        ) from error
    for name in names:
        if name not in variables:
            raise UserError(f"{path} holds no array {name}: it is not what the catalogue means.")
    return variables


def _variables(file: IO[bytes], names: Sequence[str], bounds: Bounds) -> dict[str, np.ndarray]:
    header = file.read(128)
    if len(header) < 128 or header[126:] not in (b"IM", b"MI"):
        raise Damaged(f"it begins with {header[:20]!r}")
    order = "<" if header[126:] == b"IM" else ">"
    (version,) = struct.unpack(f"{order}H", header[124:126])
    if version != 0x0100:
        raise Damaged(
            f"it is of another version: {header[:20].decode('latin-1')!r}; save it with -v7"
        )
    variables: dict[str, np.ndarray] = {}
    while tag := file.read(8):
        if len(tag) < 8:
            raise Damaged("it breaks off")
        kind, size = struct.unpack(f"{order}II", tag)
        left = [size]

        def packed(size: int, left: list[int] = left) -> bytes:
            block = file.read(min(size, left[0]))
            left[0] -= len(block)
            return block

        if kind == COMPRESSED:
            stream = Inflated(packed, WRAPPED)
            kind, size = struct.unpack(f"{order}II", _exactly(stream.read, 8))
            element = _Element(stream.read, size, order, bounds)
        else:
            stream, element = None, _Element(packed, size, order, bounds)
        if kind == MATRIX:
            name, array = _matrix(element, names)
            if array is not None:
                variables[name] = array
        element.skip(element.left)
        if stream:
            stream.finish()
    return variables


class _Element:
    """An element that holds others: what is read of it is counted, in it and in the file."""

    def __init__(self, read: Read, size: int, order: str, bounds: Bounds) -> None:
        self.source, self.left, self.order, self.bounds = read, size, order, bounds

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size > self.left:
            raise Damaged("a part is longer than the whole")
        content = bytearray()
        while len(content) < size:
            block = _exactly(self.source, min(BLOCK, size - len(content)))
            self.bounds.add(0, len(block))
            content += block
        self.left -= size
        return bytes(content)

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.read(min(BLOCK, size)))

    def part(self, most: int) -> tuple[int, bytes]:
        """The next element inside: its type and its content of at most so many bytes."""
        tag = self.read(8)
        kind, size = struct.unpack(f"{self.order}II", tag)
        if kind >> 16:  # a short one: type, bytes and up to four bytes of content in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise Damaged("a short part is too long")
            return kind, tag[4 : 4 + size]
        if size > most:
            raise Damaged(f"a part has {size:,} bytes instead of {most:,} at most")
        content = self.read(size)
        self.skip(min(-size % 8, self.left))
        return kind, content


def _matrix(element: _Element, names: Sequence[str]) -> tuple[str, np.ndarray | None]:
    """Name and array of a variable; None for one that is not asked for."""
    flags, _ = struct.unpack(f"{element.order}II", element.part(8)[1])
    shape = tuple(np.frombuffer(element.part(32 * 4)[1], f"{element.order}i4").tolist())
    name = element.part(1 << 10)[1].decode("latin-1")
    if name not in names:
        return name, None
    meant = MEANT.get(flags & 0xFF)
    if meant is None or flags & COMPLEX:
        raise Damaged(f"{name} is not an array of numbers")
    if len(shape) < 2 or min(shape) < 0:
        raise Damaged(f"{name} has the shape {shape}")
    count = math.prod(shape)
    kind, content = element.part(8 * count)
    if kind not in STORED:
        raise Damaged(f"{name} is stored in type {kind}")
    values = np.frombuffer(content, np.dtype(element.order + STORED[kind]))
    if len(values) != count:
        raise Damaged(f"{name} has {len(values):,} numbers for the shape {shape}")
    return name, values.astype(np.dtype(meant), copy=False).reshape(shape, order="F")


def _exactly(read: Read, size: int) -> bytes:
    content = read(size)
    if len(content) < size:
        raise Damaged("it breaks off")
    return content
