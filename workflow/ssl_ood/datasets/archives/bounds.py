"""How much may come out of an archive, and the one way in which anything is inflated."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ssl_ood.common.errors import UserError

SMALL = 64 << 20  # bytes that any archive may expand to, whatever its ratio
BLOCK = 1 << 20
RAW, WRAPPED = -15, 15  # zlib's words for deflate alone, and with its header and checksum


class Damaged(Exception):
    """A single member cannot be read; the text says why, after the member's name."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes in all, bytes out for a byte in."""

    members: int = 5_000_000
    total: int = 1 << 40
    ratio: float = 100.0


class Bounds:
    """Counts what comes out of an archive and stops at the limits."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.path, self.limits = path, limits or Limits()
        self.members = self.bytes = 0
        size = path.stat().st_size if path.exists() else 0
        self.most = min(self.limits.total, max(int(self.limits.ratio * size), SMALL))

    def add(self, members: int, size: int) -> None:
        """Counts further members and bytes. Raises UserError beyond the limits."""
        self.members += members
        self.bytes += size
        if self.members > self.limits.members or self.bytes > self.most:
            raise UserError(
                f"{self.path} expands beyond every limit (over {self.most:,} bytes or "
                f"{self.limits.members:,} files): it looks like a zip bomb and was not unpacked."
            )


class Counted:
    """A stream that counts what is read from it, and never gives more than its bounds allow."""

    def __init__(self, stream: IO[bytes], bounds: Bounds) -> None:
        self.stream, self.bounds = stream, bounds

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; all there are for a negative size."""
        content = bytearray()
        while size < 0 or len(content) < size:
            block = self.stream.read(BLOCK if size < 0 else min(BLOCK, size - len(content)))
            if not block:
                break
            self.bounds.add(0, len(block))
            content += block
        return bytes(content)

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


class Inflated:
    """What a deflated stream gives, as far as it is read: it never takes more memory than that.

    `packed(size)` gives up to `size` of its bytes, none at its end; kind: RAW or WRAPPED.
    """

    def __init__(self, packed: Callable[[int], bytes], kind: int) -> None:
        self.packed, self.zlib = packed, zlib.decompressobj(kind)

    def read(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end. Raises Damaged where the stream breaks off."""
        content = bytearray()
        while len(content) < size and not self.zlib.eof:
            packed = self.zlib.unconsumed_tail or self.packed(BLOCK)
            try:  # a maximum of 0 would mean: without any
                block = self.zlib.decompress(packed, min(BLOCK, size - len(content)))
            except zlib.error as error:
                raise Damaged(f"cannot be unpacked ({error})") from None
            if not packed and not block and not self.zlib.eof:
                raise Damaged("cannot be unpacked (it breaks off)")
            content += block
        return bytes(content)

    def finish(self) -> None:
        """Raises Damaged unless this is the end, with zlib's own checksum right."""
        if self.read(1):
            raise Damaged("is damaged: it expands to more bytes than it declares")
        if self.zlib.unused_data or self.zlib.unconsumed_tail or self.packed(1):
            raise Damaged("is damaged: something follows the end of its packed bytes")


def inflate(packed: Callable[[int], bytes], size: int, kind: int = RAW) -> bytes:
    """The `size` bytes that a deflated stream declares. Raises Damaged if it gives more or less."""
    stream = Inflated(packed, kind)
    content = stream.read(size)
    if len(content) < size:
        raise Damaged(f"is cut short: {len(content):,} of {size:,} bytes")
    stream.finish()
    return content
