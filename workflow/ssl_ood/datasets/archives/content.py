"""Where the content of a member lies, and the way to its bytes. Runs in the worker processes."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.archives.bounds import BLOCK, RAW, Damaged, Inflated

MOST = 1 << 30  # bytes of a picture or table: what is held in memory at once


@dataclass(frozen=True)
class FileRef:
    """`size` bytes at `offset` of the file `path`."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True)
class ZipRef:
    """A member of a zip: its local header lies at `offset`, `packed` bytes of data behind it."""

    path: str
    offset: int
    packed: int
    size: int
    deflated: bool
    crc: int


Data = FileRef | ZipRef | bytes


@dataclass(frozen=True)
class Member:
    """A file of an archive: its name with forward slashes and no leading './', and its content."""

    name: str
    data: Data


def read(data: Data, most: int = MOST) -> bytes:
    """The content of a member.

    Raises Damaged if it is cut short, expands beyond what it declares, has another checksum, or
    declares more than `most` bytes; UserError if the archive itself cannot be read.
    """
    if isinstance(data, bytes):
        return data
    if data.size > most:
        raise Damaged(f"has {data.size:,} bytes, more than the {most:,} that are read at once")
    return b"".join(blocks(data))


def blocks(data: FileRef | ZipRef) -> Iterator[bytes]:
    """The content of a member, a megabyte at a time. What it raises (see `read`) may come last."""
    with _opened(data) as (packed, is_deflated):
        stream = Inflated(packed, RAW) if is_deflated else None
        done = crc = 0
        while done < data.size:
            size = min(BLOCK, data.size - done)
            block = stream.read(size) if stream else packed(size)
            if not block:
                raise Damaged(f"is cut short: {done:,} of {data.size:,} bytes")
            done += len(block)
            crc = zlib.crc32(block, crc)
            yield block
        if stream:
            stream.finish()
        if isinstance(data, ZipRef) and crc != data.crc:
            raise Damaged("is damaged: its checksum differs from the zip's")


@contextmanager
def _opened(data: FileRef | ZipRef) -> Iterator[tuple[Callable[[int], bytes], bool]]:
    """A function that reads on in the stored bytes of a member, and whether they are deflated."""
    with _readable(data.path), open(data.path, "rb") as file:
        if data.offset < 0:
            raise Damaged("is not where the zip's directory says")
        file.seek(data.offset)
        if isinstance(data, FileRef):
            yield _window(file, data.size), False
            return
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise Damaged("is not where the zip's directory says")
        length, extra = struct.unpack("<HH", header[26:30])
        file.seek(length + extra, os.SEEK_CUR)
        if not data.deflated and data.packed != data.size:
            raise Damaged(f"is damaged: {data.packed:,} bytes are stored, {data.size:,} declared")
        yield _window(file, data.packed), data.deflated


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """What is wrong with the disk is the archive's matter: no single member is to blame."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is no longer there: fetch it again.") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({reason(error)}): check the disk and its permissions."
        ) from error


def _window(file: IO[bytes], left: int) -> Callable[[int], bytes]:
    def take(size: int) -> bytes:
        nonlocal left
        block = file.read(min(size, left))
        left -= len(block)
        return block

    return take
