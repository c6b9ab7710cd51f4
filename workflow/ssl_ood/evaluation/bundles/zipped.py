"""The zip of a bundle: the same bytes for the same members, and no other zip is taken for one.

Its members are stored, not compressed (weights and parquet hardly shrink), in one order, without
times, owners or comments. A reader writes the zip once more, in its mind, from the members that it
has read, and compares: whatever byte is another, also one that no program looks at, is found.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import atomic_path
from ssl_ood.common.hashing import BLOCK
from ssl_ood.datasets.archives.bounds import Bounds, Damaged, Limits
from ssl_ood.datasets.archives.content import ZipRef, blocks
from ssl_ood.datasets.archives.names import shown
from ssl_ood.datasets.archives.zips import zip_members
from ssl_ood.evaluation.bundles.layout import in_order

LIMITS = Limits(members=1000, total=64 << 30, ratio=1.0)  # nothing is compressed
NEVER = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can name


def write_zip(members: Mapping[str, Path | bytes], path: Path) -> None:
    """Writes a bundle with these members, by name: files, or their content."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        _write(members, file.write)


def is_as_written(path: Path, members: Mapping[str, Path]) -> bool:
    """Whether the zip at `path` is to the last byte the one that `write_zip` makes of its unpacked
    members."""

    def compare(block: Any) -> int:
        if file.read(len(block)) != bytes(block):
            raise _Differs
        return len(block)

    with open(path, "rb") as file:
        try:
            _write(members, compare)
        except _Differs:
            return False
        return not file.read(1)


def read_zip(path: Path) -> dict[str, ZipRef]:
    """The members of a zip that may be a bundle, by name; nothing has been unpacked.

    Raises UserError for what is none, and for members that no bundle has: links, folders, packed
    or locked ones, a name that is there twice, more or larger ones than the file can hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        if len(infos) > LIMITS.members:
            raise refused(path, f"it has {len(infos):,} files")
        names = set()
        for info in infos:
            name = info.filename
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.is_dir():
                raise refused(path, f"its member {shown(name)} is a link or a folder")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise refused(path, f"its member {shown(name)} is compressed")
            if name in names:
                raise refused(path, f"it has two members {shown(name)}")
            names.add(name)
        if sum(info.file_size for info in infos) > path.stat().st_size:
            raise refused(path, "its members are larger than the file")
        members = list(zip_members(path, Bounds(path, LIMITS)))
    except OSError as error:
        raise UserError(f"The bundle {path} cannot be read ({reason(error)}).") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path} is not a bundle, or a damaged one ({reason(error)}): ask for the file again."
        ) from None
    return {member.name: member.data for member in members}


def unpack(reference: ZipRef, output: Path, path: Path) -> None:
    """Writes a member to the new file `output`. Raises UserError where it is damaged."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(output, "xb") as file:
            for block in blocks(reference):
                file.write(block)
    except Damaged as error:
        raise refused(path, f"its member {shown(output.name)} {error}") from None


def refused(path: Path, why: str) -> UserError:
    """The error for a file that cannot be trusted to be a bundle."""
    return UserError(
        f"The bundle {path} was refused: {why}. Nothing of it was kept; ask for the file as "
        "`ssl_ood bundle` wrote it."
    )


class _Differs(Exception):
    """Another byte than `write_zip` would write."""


class _Stream:
    """What zipfile writes to: it cannot go back, so that nothing is written twice."""

    def __init__(self, write: Callable[[Any], int]) -> None:
        self.write = write

    def flush(self) -> None:
        """Nothing is held back."""


def _write(members: Mapping[str, Path | bytes], write: Callable[[Any], int]) -> None:
    with zipfile.ZipFile(_Stream(write), "w", zipfile.ZIP_STORED) as archive:
        for name in in_order(members):
            content = members[name]
            info = zipfile.ZipInfo(name, NEVER)
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with archive.open(info, "w") as member:
                for block in _blocks(content):
                    member.write(block)


def _blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with open(content, "rb") as file:
        yield from iter(lambda: file.read(BLOCK), b"")
