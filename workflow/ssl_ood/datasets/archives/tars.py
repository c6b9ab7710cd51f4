"""Members of tars. Headers are read by us, for three reasons.

tarfile takes the first damaged header for the end of the archive, reads a name of any length into
memory, and does not look whether the block that ends a tar is there.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives.bounds import BLOCK, Bounds, Counted
from ssl_ood.datasets.archives.content import MOST, FileRef, Member
from ssl_ood.datasets.archives.names import LONGEST, pass_over_link, safe_name, shown

RECORD = 512
LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
WITHOUT_CONTENT = (
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)  # fmt: skip
MULTIVOLUME = b"M"
MOST_HEADER = 4 * LONGEST  # bytes of a header that follows a header


class Stream(Protocol):
    """What a tar is read from; `at` is where it stands."""

    at: int

    def read(self, size: int) -> bytes: ...

    def skip(self, size: int) -> None: ...


@dataclass(frozen=True)
class Entry:
    """What a header says of a member, whose content follows in the stream."""

    name: str
    kind: bytes
    link: str
    size: int


def tar_members(path: Path, window: FileRef | None = None) -> Iterator[Member]:
    """The files of an uncompressed tar, or of the one in a window of it."""
    with open(path, "rb") as file:
        start, size = (window.offset, window.size) if window else (0, path.stat().st_size)
        stream = _Window(file, start, size)
        for entry in _entries(stream):
            name = _name(path, entry)
            if stream.at + entry.size > size and entry.kind not in WITHOUT_CONTENT:
                raise tarfile.ReadError("unexpected end of data")
            if name is not None:
                yield Member(name, FileRef(str(path), start + stream.at, entry.size))


def tar_gz_members(path: Path, choose: Callable[[str], bool], bounds: Bounds) -> Iterator[Member]:
    """The files of a gzipped tar, to its end, where its checksum is."""
    with gzip.open(path, "rb") as file:
        stream = _Gzipped(Counted(file, bounds))
        for entry in _entries(stream):
            name = _name(path, entry)
            if name is None:
                continue
            content = b""
            if choose(name):
                if entry.size > 4 * MOST:
                    raise UserError(
                        f"{path}: {shown(name)} has {entry.size:,} bytes, more than are read at "
                        "once: it is not the archive that the catalogue means."
                    )
                content = stream.read(entry.size)
                if len(content) < entry.size:
                    raise tarfile.ReadError("unexpected end of data")
            yield Member(name, content)


def _name(path: Path, entry: Entry) -> str | None:
    """The safe name of a file, None for what is not a file; raises UserError for a stray link."""
    name = safe_name(path, entry.name)
    if entry.kind == tarfile.SYMTYPE:
        pass_over_link(path, name, entry.link)
    elif entry.kind == tarfile.LNKTYPE:
        pass_over_link(path, name, entry.link, ".")  # from the archive's root on
    return name if entry.kind in tarfile.REGULAR_TYPES else None


def _entries(stream: Stream) -> Iterator[Entry]:
    """The members of a tar, to its end; the content of one may be read before the next.

    Raises tarfile.TarError for a damaged header, for content that breaks off, for a missing end
    and for anything behind it, and for what tars of images have no use for: sparse files and parts
    of further volumes.
    """
    more: dict[str, str] = {}  # what extended headers say of the member to come
    while any(block := stream.read(RECORD)) or len(block) < RECORD:
        if len(block) < RECORD:
            raise tarfile.ReadError("the block that ends a tar is missing")
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type in LONG_NAMES:
            more[LONG_NAMES[info.type]] = tarfile.nts(
                _header(stream, info), "utf-8", "surrogateescape"
            )
            continue
        if info.type in EXTENDED:
            more |= _extended(_header(stream, info))
            continue
        if info.type == tarfile.XGLTYPE:
            _extended(_header(stream, info))  # of all members: comments, as a rule
            continue
        if info.type in (tarfile.GNUTYPE_SPARSE, MULTIVOLUME):
            raise tarfile.ReadError(f"{shown(info.name)} is sparse or a part of another volume")
        size = int(more.get("size", info.size))
        if size < 0:
            raise tarfile.ReadError(f"{shown(info.name)} has a negative size")
        end = stream.at + (0 if info.type in WITHOUT_CONTENT else -(-size // RECORD) * RECORD)
        yield Entry(
            more.get("path", info.name), info.type, more.get("linkpath", info.linkname), size
        )
        stream.skip(end - stream.at)
        more = {}
    if more:
        raise tarfile.ReadError("the member that its last header tells of is missing")
    while block := stream.read(BLOCK):
        if any(block):
            raise tarfile.ReadError("something follows its end, as where tars are put together")


def _header(stream: Stream, info: tarfile.TarInfo) -> bytes:
    """The content of a header that follows a header."""
    if not 0 <= info.size <= MOST_HEADER:
        raise tarfile.ReadError(
            f"a name, link or header has {info.size:,} bytes, longer than a path can be"
        )
    content = stream.read(-(-info.size // RECORD) * RECORD)
    if len(content) < info.size:
        raise tarfile.ReadError("unexpected end of data")
    return content[: info.size]


def _extended(content: bytes) -> dict[str, str]:
    """The records of an extended header, each `LENGTH KEY=VALUE` and a new line."""
    records: dict[str, str] = {}
    while content.strip(b"\0"):
        length, blank, _ = content.partition(b" ")
        if not blank or not length.isdigit() or not len(length) < int(length) <= len(content):
            raise tarfile.ReadError("an extended header is damaged")
        record, content = content[len(length) + 1 : int(length)], content[int(length) :]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or not record.endswith(b"\n"):
            raise tarfile.ReadError("an extended header is damaged")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    if any(key.startswith("GNU.sparse") for key in records):
        raise tarfile.ReadError("it holds a sparse file")
    if not records.get("size", "0").isdecimal():
        raise tarfile.ReadError("an extended header is damaged")
    return records


class _Window:
    """Part of a file, from which a tar is read."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def read(self, size: int) -> bytes:
        self.file.seek(self.start + self.at)
        block = self.file.read(min(size, max(self.size - self.at, 0)))
        self.at += len(block)
        return block

    def skip(self, size: int) -> None:
        self.at += size


class _Gzipped:
    """A stream that cannot go back: what is skipped is read."""

    def __init__(self, stream: Counted) -> None:
        self.stream, self.at = stream, 0

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.at += len(block)
        return block

    def skip(self, size: int) -> None:
        end = self.at + size
        while self.at < end:
            if not self.read(min(BLOCK, end - self.at)):
                raise tarfile.ReadError("unexpected end of data")
