"""Members of tar, zip and folder archives, read in place; nothing is unpacked but for lmdb.

A member of an uncompressed tar or of a zip comes as a reference (path, offset, size), so that a
worker process reads its bytes itself; one of a compressed tar comes as its bytes.

An archive is refused, with a sentence, if a member has an absolute name or one that leads out of
the archive's folder, if a link leads out of it, or if it swells beyond `Limits` (zip bomb). Links
are never followed: one that stays inside is passed over.
"""

from __future__ import annotations

import gzip
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import in_utf8

SMALL = 64 << 20  # bytes that any archive may swell to, whatever its ratio


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes in all, bytes out for a byte in."""

    members: int = 5_000_000
    total: int = 1 << 40
    ratio: float = 100.0


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


class Damaged(Exception):
    """A single member cannot be read; the text says why."""


def members(
    path: Path, wanted: Callable[[str], bool] | None = None, limits: Limits | None = None
) -> Iterator[Member]:
    """The files of an archive (.tar, .tar.gz, .tgz, .zip) or folder, in a fixed order.

    `wanted` picks by name, before any content is read. Raises UserError for an archive that is
    damaged, unsafe or beyond `limits`.
    """
    limits = limits or Limits()
    wanted = wanted or (lambda _: True)
    path = Path(path)
    if path.is_dir():
        source = _folder(path)
    elif path.suffix == ".zip":
        source = _zip(path, limits)
    elif path.suffix in (".gz", ".tgz"):
        source = _tar_gz(path, wanted, limits)
    else:
        source = _tar(path)
    bounds = _Bounds(path, limits)
    with readable(path):
        for member in source:
            bounds.add(1, 0)
            if wanted(member.name):
                yield member


def tar_of_tars(path: Path, limits: Limits | None = None) -> Iterator[tuple[str, Iterator[Member]]]:
    """The inner tars of an uncompressed tar, by name, each with its files."""
    bounds = _Bounds(path, limits or Limits())
    with readable(path):
        for outer in _tar(path):
            if outer.name.endswith(".tar"):
                bounds.add(1, 0)
                yield outer.name, _tar(path, outer.data)


def read(data: Data) -> bytes:
    """The content of a member. Raises Damaged if it is cut short or its checksum differs."""
    if isinstance(data, bytes):
        return data
    with open(data.path, "rb") as file:
        if isinstance(data, FileRef):
            file.seek(data.offset)
            content = file.read(data.size)
            if len(content) < data.size:
                raise Damaged(f"is cut short: {len(content):,} of {data.size:,} bytes")
            return content
        file.seek(data.offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise Damaged("is not where the zip's directory says")
        name, extra = struct.unpack("<HH", header[26:30])
        file.seek(name + extra, os.SEEK_CUR)
        content = file.read(data.packed)
    if data.deflated:
        try:  # never more than the directory declares, whatever the stream would give
            content = zlib.decompressobj(-15).decompress(content, data.size)
        except zlib.error as error:
            raise Damaged(f"cannot be unpacked ({error})") from None
    if len(content) != data.size or zlib.crc32(content) != data.crc:
        raise Damaged("is damaged: its checksum differs from the zip's")
    return content


def unpack(path: Path, folder: Path, limits: Limits | None = None) -> None:
    """Writes the files of an archive below `folder`, for formats that must be read from disk."""
    for member in members(path, limits=limits):
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as file:
            file.write(_content(path, member))


def find(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of members by name, in one pass; `a.txt` also finds `folder/a.txt`.

    Raises UserError that names the first one that is not there.
    """
    found: dict[str, bytes] = {}

    def which(member: str) -> str | None:
        return next((n for n in names if member == n or member.endswith(f"/{n}")), None)

    for member in members(path, lambda m: which(m) is not None):
        found.setdefault(which(member.name), _content(path, member))
        if len(found) == len(names):
            return found
    missing = next(n for n in names if n not in found)
    raise UserError(f"{path} holds no {missing}: it is not the archive that the catalogue means.")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what the libraries say of a damaged archive into a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is no longer there: fetch it again.") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path} is truncated or damaged ({error}): remove it and fetch it again."
        ) from None


def open_gzip(path: Path, limits: Limits | None = None) -> IO[bytes]:
    """A gzip file to read, which refuses to swell beyond the limits."""
    file = gzip.open(path, "rb")  # noqa: SIM115
    return _Counted(file, _Bounds(path, limits or Limits()))


def _content(path: Path, member: Member) -> bytes:
    try:
        return read(member.data)
    except Damaged as error:
        raise UserError(f"{path}: {member.name} {error}. Fetch the archive again.") from None


class _Bounds:
    """Counts what comes out of an archive and stops at the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.members = self.bytes = 0
        size = path.stat().st_size if path.exists() else 0
        self.most = min(limits.total, max(int(limits.ratio * size), SMALL))

    def add(self, members: int, size: int) -> None:
        self.members += members
        self.bytes += size
        if self.members > self.limits.members or self.bytes > self.most:
            raise UserError(
                f"{self.path} swells beyond all measure (over {self.most:,} bytes or "
                f"{self.limits.members:,} files): it looks like a zip bomb and was not unpacked."
            )


class _Counted:
    """A stream that counts what is read from it."""

    def __init__(self, stream: IO[bytes], bounds: _Bounds) -> None:
        self.stream, self.bounds = stream, bounds

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            blocks = []
            while block := self.read(1 << 20):
                blocks.append(block)
            return b"".join(blocks)
        block = self.stream.read(size)
        self.bounds.add(0, len(block))
        return block

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _safe_name(path: Path, name: str) -> str:
    """The name as a relative path inside the archive; raises UserError if it is none."""
    clean = posixpath.normpath(name.replace("\\", "/"))
    if clean.startswith("/") or clean.split("/")[0] == ".." or clean[1:2] == ":":
        raise UserError(
            f"{path} holds a file named {name!r}, which lies outside of its folder: it is not the "
            "archive that the catalogue means. It was not unpacked."
        )
    return clean


def _check_link(path: Path, name: str, target: str) -> None:
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if target.startswith("/") or inside.split("/")[0] == "..":
        raise UserError(
            f"{path} holds a link {name!r} that leads out of its folder, to {target!r}: it is not "
            "the archive that the catalogue means. It was not unpacked."
        )


def _tar_name(path: Path, info: tarfile.TarInfo) -> str | None:
    """The safe name of a file, None for what is no file; raises UserError for a stray link."""
    name = _safe_name(path, info.name)
    if info.issym():
        _check_link(path, name, info.linkname)
    elif info.islnk():
        _check_link(path, ".", info.linkname)
    return name if info.isfile() and not info.islnk() else None


def _tar(path: Path, window: Data | None = None) -> Iterator[Member]:
    """An uncompressed tar, or the one in a window of it."""
    with open(path, "rb") as file:
        start, size = (window.offset, window.size) if window else (0, path.stat().st_size)
        stream = _Window(file, start, size)
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                name = _tar_name(path, info)
                tar.members = []  # tarfile remembers all it has seen: a gigabyte for ImageNet
                if name is not None:
                    if info.offset_data + info.size > size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield Member(name, FileRef(str(path), start + info.offset_data, info.size))


def _tar_gz(path: Path, wanted: Callable[[str], bool], limits: Limits) -> Iterator[Member]:
    with open_gzip(path, limits) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for info in tar:
            name = _tar_name(path, info)
            tar.members = []
            if name is not None:
                content = tar.extractfile(info).read() if wanted(name) else b""
                if wanted(name) and len(content) < info.size:
                    raise tarfile.ReadError("unexpected end of data")
                yield Member(name, content)


def _zip(path: Path, limits: Limits) -> Iterator[Member]:
    bounds = _Bounds(path, limits)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _safe_name(path, info.filename)
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                _check_link(path, name, archive.read(info).decode(errors="replace"))
                continue
            if info.is_dir():
                continue
            bounds.add(0, info.file_size)
            if info.flag_bits & 1:
                raise UserError(f"{path} is locked with a password: unlock it and zip it anew.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(
                    f"{path} packs {name} in a way (method {info.compress_type}) that is not "
                    "supported: zip its content anew."
                )
            yield Member(
                name,
                ZipRef(
                    str(path),
                    info.header_offset,
                    info.compress_size,
                    info.file_size,
                    info.compress_type == zipfile.ZIP_DEFLATED,
                    info.CRC,
                ),
            )


def _folder(path: Path) -> Iterator[Member]:
    root = path.resolve()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if Path(folder, f).is_symlink())]):
            file = Path(folder, name)
            inside = in_utf8(file.relative_to(root))
            if file.is_symlink():
                _check_link(path, inside, os.readlink(file))
            else:
                yield Member(inside, FileRef(str(file), 0, file.stat().st_size))


class _Window:
    """Part of a file as a file of its own, for tarfile."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def read(self, size: int = -1) -> bytes:
        left = max(self.size - self.at, 0)
        size = left if size < 0 else min(size, left)
        self.file.seek(self.start + self.at)
        block = self.file.read(size)
        self.at += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        self.at = base + offset
        return self.at

    def tell(self) -> int:
        return self.at

    def seekable(self) -> bool:
        return True
