"""Members of zips, by the zip's own directory."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives.bounds import Bounds, Damaged
from ssl_ood.datasets.archives.content import Member, ZipRef, read
from ssl_ood.datasets.archives.names import LONGEST, pass_over_link, safe_name, shown

UTF8 = 0x800  # the flag of a name
CHECKED: set[tuple[int, ...]] = set()  # zips whose headers were compared with their directory
LONGEST_END = 22 + (1 << 16)  # bytes of the end's record, and of the comment behind it


def zip_members(path: Path, bounds: Bounds) -> Iterator[Member]:
    """The files of a zip, in the order of its directory."""
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        _check_count(file, len(archive.infolist()))
        _check_headers(file, archive.infolist())
        names: set[str] = set()
        for info in archive.infolist():
            name = safe_name(path, info.filename)
            if info.is_dir() and not info.file_size:
                continue
            _check_packing(path, name, info)
            bounds.add(0, info.file_size)
            reference = ZipRef(
                str(path),
                info.header_offset,
                info.compress_size,
                info.file_size,
                info.compress_type == zipfile.ZIP_DEFLATED,
                info.CRC,
            )
            if stat.S_ISLNK(info.external_attr >> 16):
                pass_over_link(path, name, _target(path, name, reference))
                continue
            if name in names:
                raise UserError(
                    f"{path} holds two files named {shown(name)}: zip its content again."
                )
            names.add(name)
            yield Member(name, reference)


def _check_count(file: IO[bytes], count: int) -> None:
    """Raises BadZipFile unless the directory has as many entries as the zip's end says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - LONGEST_END, 0))
    end = file.read()
    end = end[end.rfind(b"PK\x05\x06") :]
    here, declared = struct.unpack_from("<HH", end, 8)
    if here != declared or declared not in (count & 0xFFFF, 0xFFFF):  # it counts no further
        raise zipfile.BadZipFile(f"its directory has {count:,} of {declared:,} entries")


def _check_headers(file: IO[bytes], directory: Sequence[zipfile.ZipInfo]) -> None:
    """Raises BadZipFile unless every member lies where the directory says, by the same name.

    The directory has no checksum: a damaged name could pass for one that nobody asks for. Where
    hundreds of thousands lie on a slow disk this takes a minute, so it is done once a process.
    """
    state = os.fstat(file.fileno())
    layout = hash(tuple((info.orig_filename, info.header_offset) for info in directory))
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, layout)
    if key in CHECKED:
        return
    for info in directory:
        name = info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
        file.seek(max(info.header_offset, 0))
        header = file.read(30 + len(name))
        if (
            info.header_offset < 0
            or len(header) < 30
            or header[:4] != b"PK\x03\x04"
            or struct.unpack_from("<H", header, 26) != (len(name),)
            or header[30:] != name
        ):
            raise zipfile.BadZipFile(f"{shown(info.orig_filename)} is not where its directory says")
    CHECKED.add(key)


def _check_packing(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    if info.is_dir():
        raise UserError(f"{path} holds a folder {shown(name)} with content: it is damaged.")
    if info.flag_bits & 1:
        raise UserError(f"{path} is locked with a password: unlock it and zip it again.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"{path} packs {shown(name)} in a way (method {info.compress_type}) that is not "
            "supported: zip its content again."
        )


def _target(path: Path, name: str, reference: ZipRef) -> str:
    """Where a link leads to, which is its content."""
    try:
        return read(reference, LONGEST).decode(errors="replace")
    except Damaged as error:
        raise UserError(
            f"{path}: the link {shown(name)} {error}: it is damaged or not the archive that the "
            "catalogue means. It was not unpacked."
        ) from error
