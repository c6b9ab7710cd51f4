"""Members of zips, by the zip's own directory."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives.bounds import Bounds, Damaged
from ssl_ood.datasets.archives.content import Member, ZipRef, read
from ssl_ood.datasets.archives.names import LONGEST, check_link, safe_name, shown


def zip_members(path: Path, bounds: Bounds) -> Iterator[Member]:
    """The files of a zip, in the order of its directory."""
    with zipfile.ZipFile(path) as archive:
        names: set[str] = set()
        for info in archive.infolist():
            name = safe_name(path, info.filename)
            if info.is_dir():
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
                check_link(path, name, _target(path, name, reference))
                continue
            if name in names:
                raise UserError(
                    f"{path} holds two files named {shown(name)}: zip its content anew."
                )
            names.add(name)
            yield Member(name, reference)


def _check_packing(path: Path, name: str, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise UserError(f"{path} is locked with a password: unlock it and zip it anew.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"{path} packs {shown(name)} in a way (method {info.compress_type}) that is not "
            "supported: zip its content anew."
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
