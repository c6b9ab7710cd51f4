"""The images of a folder, a zip or a tar, decoded as the training images were. Light: no torch.

Images are known by the ending of their name; a file without one is an image if it is DICOM, as the
files of many archives of hospitals are. What cannot be read is told by name and reason, and ends
nothing.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import Damaged, Data, FileRef, members
from ssl_ood.datasets.archives.content import blocks as blocks_of
from ssl_ood.datasets.decode import Decoding, Undecodable
from ssl_ood.datasets.decoding import Decoded, decode_block, decoded
from ssl_ood.datasets.facts import Facts
from ssl_ood.datasets.folders import files_below
from ssl_ood.datasets.local import ARCHIVES
from ssl_ood.datasets.readers import NO_LABEL, Item
from ssl_ood.datasets.readers_archives import IMAGES, NOT_READ
from ssl_ood.datasets.text import printable

NO_IMAGE = "is not an image"  # and its name does not claim that it is one
MARK = slice(128, 132)  # of DICOM


@dataclass
class Unreadable:
    """Told as they come: every name and reason to `write`, the first `most` are kept; others: files
    that are no images, counted."""

    write: Callable[[str, str], None] = lambda name, reason: None
    most: int = 200
    count: int = 0
    others: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, why: str) -> None:
        """name: as in the folder."""
        self.count += 1
        self.write(printable(name), why)
        if len(self.first) < self.most:
            self.first.append((printable(name), why))


def images_of(
    path: Path, decoding: Decoding, unreadable: Unreadable, workers: int | None = None
) -> Iterator[tuple[list[str], np.ndarray, int]]:
    """Names of images that can be read, their pixels (n, S, S, 3) uint8, and files looked at.

    In the order of the folder, block by block; names are as `printable` writes them. Raises
    UserError for a path that is neither a folder nor an archive, and for a damaged archive.
    """
    files = files_of(path, unreadable)
    for block, pixels, bad, _, _ in decoded(files, decoding, workers, decode=decode_files):
        for place, error in bad.items():
            if str(error) == NO_IMAGE:
                unreadable.others += 1
            else:
                unreadable.add(block[place].name, str(error))
        good = [printable(item.name) for i, item in enumerate(block) if i not in bad]
        yield good, pixels, len(block)


def files_of(path: Path, unreadable: Unreadable | None = None) -> Iterator[Item]:
    """The files that may be images, in the order of the folder or archive.

    unreadable: is told of what is not a file, such as a link that leads nowhere. Raises as
    `images_of`.
    """
    check_path(path)
    if path.is_dir():
        report = unreadable or Unreadable()
        for file in files_below(path.resolve(), report.add):
            if may_be_image(file.name):
                yield Item(file.name, NO_LABEL, FileRef(file.path, 0, file.size))
            else:
                report.others += 1
    elif path.suffix.lower() in IMAGES:
        yield Item(path.name, NO_LABEL, FileRef(str(path), 0, path.stat().st_size))
    else:
        for member in members(path, may_be_image):
            yield Item(member.name, NO_LABEL, member.data)


def check_path(path: Path) -> None:
    """Raises UserError for what is not a folder, an image or an archive."""
    if not path.exists():
        raise UserError(f"There is no {path}: name a folder of images, a zip or a tar.")
    if path.is_file() and path.name.lower().endswith((*IMAGES, *ARCHIVES)):
        return
    if not path.is_dir():
        raise UserError(
            f"{path} is not a folder, an image or an archive that is read here "
            f"({', '.join(ARCHIVES)}): unpack it, and name the folder."
        )


def count_files(path: Path) -> int | None:
    """About how many files `files_of` gives, without a look at them: links are left out; None for a
    gzipped tar, which would be inflated twice."""
    if path.is_dir():
        return sum(may_be_image(name) for _, _, files in os.walk(path) for name in files)
    return None if path.suffix.lower() in (".gz", ".tgz") else sum(1 for _ in files_of(path))


def may_be_image(name: str) -> bool:
    """Whether a name ends as an image's does, or as no kind of file: `IM0001`, `1.2.840`."""
    ending = posixpath.splitext(name)[1].lower()
    return name.lower().endswith((*IMAGES, *NOT_READ)) or ending[1:].isdigit() or not ending


def decode_files(items: Sequence[Item], decoding: Decoding) -> Decoded:
    """`decode_block` of files, of which none ends the others: what the disk says is its reason."""
    return decode_block([_File(item.name, item.data) for item in items], _Forgiving(decoding))


@dataclass(frozen=True)
class _File:
    name: str
    data: Data


@dataclass(frozen=True)
class _Forgiving:
    """The decoding of files whose names say what they should be."""

    decoding: Decoding

    @property
    def size(self) -> int:
        return self.decoding.size

    def apply(self, file: _File) -> tuple[np.ndarray, list[str], Facts]:
        name = file.name.lower()
        if name.endswith(NOT_READ):
            raise Undecodable(f"is of a kind that is not read ({posixpath.splitext(name)[1]})")
        try:
            if not name.endswith(IMAGES) and not _is_dicom(file.data):
                raise Undecodable(NO_IMAGE)
            return self.decoding.apply(file.data)
        except UserError as error:
            # Without the path, which is nobody's business where the results are shown.
            cause = error.__cause__
            why = (cause.strerror if isinstance(cause, OSError) else None) or "it is gone"
            raise Undecodable(f"cannot be read ({why})") from None


def _is_dicom(data: Data) -> bool:
    try:
        content = data if isinstance(data, bytes) else next(blocks_of(data), b"")
    except Damaged:
        return False
    return content[MARK] == b"DICM"
