"""Members of tar, zip and folder archives, read in place; nothing is unpacked but for lmdb.

A member of an uncompressed tar or of a zip comes as a reference (path, offset, size), so that a
worker process reads its bytes itself; one of a compressed tar comes as its bytes.

An archive is refused, with a sentence, if a member has an absolute name or one that leads out of
the archive's folder, if a link leads out of it, if it expands beyond `Limits` (zip bomb), or if it
is damaged anywhere: it is read to its end, where tars and gzip prove that they are whole. Links
in it are never followed: one that stays inside is passed over, and counted. A folder is read as
`datasets.folders` says. Names that are none of a dataset's (see `passed_over`) are left out of all
three.
"""

from __future__ import annotations

import errno
import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.archives.bounds import Bounds, Counted, Damaged, Limits
from ssl_ood.datasets.archives.content import MOST, Data, FileRef, Member, ZipRef, blocks, read
from ssl_ood.datasets.archives.names import shown
from ssl_ood.datasets.archives.tars import tar_gz_members, tar_members
from ssl_ood.datasets.archives.zips import zip_members
from ssl_ood.datasets.folders import files_below
from ssl_ood.datasets.notes import note
from ssl_ood.datasets.passed_over import why_passed_over

__all__ = [
    "Damaged", "Data", "FileRef", "Limits", "Member", "ZipRef", "find", "members", "open_gzip",
    "read", "readable", "tar_of_tars", "unpack",
]  # fmt: skip

# What is wrong with the disk or with the person's rights, and not with the archive.
OF_THE_DISK = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)


def members(
    path: Path, choose: Callable[[str], bool] | None = None, limits: Limits | None = None
) -> Iterator[Member]:
    """The files of an archive (.tar, .tar.gz, .tgz, .zip) or folder, in a fixed order.

    `choose` picks by name, before any content is read, among the names that are not passed over.
    Raises UserError for an archive that is damaged, unsafe or beyond `limits`.
    """
    picked = choose or (lambda _: True)

    def is_chosen(name: str) -> bool:
        return why_passed_over(name) is None and picked(name)

    path = Path(path)
    with readable(path) as place:
        bounds = Bounds(path, limits)
        if path.is_dir():
            files = files_below(path.resolve())
            source = (Member(file.name, FileRef(file.path, 0, file.size)) for file in files)
        elif path.suffix.lower() == ".zip":
            source = zip_members(path, bounds)
        elif path.suffix.lower() in (".gz", ".tgz"):
            source = tar_gz_members(path, is_chosen, bounds)
        else:
            source = tar_members(path)
        for member in source:
            place.member = member.name
            bounds.add(1, 0)
            if is_chosen(member.name):
                yield member
            else:
                _passed_over(path, member.name)


def tar_of_tars(path: Path, limits: Limits | None = None) -> Iterator[tuple[str, Iterator[Member]]]:
    """The inner tars of an uncompressed tar, by name, each with its files."""

    def inner(outer: Member) -> Iterator[Member]:
        with readable(path) as place:
            place.member = outer.name
            for member in tar_members(path, outer.data):
                place.member = f"{outer.name}/{member.name}"
                if not _passed_over(path, member.name):
                    yield member

    for outer in members(path, lambda name: name.endswith(".tar"), limits):
        yield outer.name, inner(outer)


def _passed_over(path: Path, name: str) -> bool:
    why = why_passed_over(name)
    if why is not None:
        note(why, path, name)
    return why is not None


def unpack(path: Path, folder: Path, limits: Limits | None = None) -> None:
    """Writes the files of an archive below `folder`, for formats that must be read from disk."""
    for member in members(path, limits=limits):
        target = folder / member.name
        with _content_of(path, member):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                file = open(target, "xb")  # noqa: SIM115
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL):
                    raise Damaged(
                        f"cannot be unpacked beside the others ({reason(error)})"
                    ) from error
                raise
            with file:
                content = member.data
                file.writelines([content] if isinstance(content, bytes) else blocks(content))


def find(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of members by name, in one pass; `a.txt` also finds `folder/a.txt`.

    Raises UserError that names the first one that is not there.
    """
    contents: dict[str, bytes] = {}

    def which(member: str) -> str | None:
        return next((n for n in names if member == n or member.endswith(f"/{n}")), None)

    # To the archive's end, though all may be found before: only there it proves to be whole.
    for member in members(path, lambda m: which(m) not in {None, *contents}):
        with _content_of(path, member):
            contents[which(member.name)] = read(member.data, 4 * MOST)
    for name in names:
        if name not in contents:
            raise UserError(
                f"{path} holds no {name}: it is not the archive that the catalogue means."
            )
    return contents


@contextmanager
def readable(path: Path) -> Iterator[SimpleNamespace]:
    """Turns whatever a damaged archive makes its reader trip over into a sentence.

    What it gives has a place for the name of the `member` that is read.
    """
    place = SimpleNamespace(member=None)
    try:
        yield place
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is no longer there: fetch it again.") from error
    except Exception as error:
        behind = "" if place.member is None else f", at or behind {shown(place.member)}"
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise UserError(
                f"{path} cannot be read ({reason(error)}{behind}): check the disk and its "
                "permissions."
            ) from error
        raise UserError(
            f"{path} is truncated or damaged ({reason(error)}{behind}): remove it and fetch it "
            "again."
        ) from error


def open_gzip(path: Path, limits: Limits | None = None) -> Counted:
    """A gzip file to read, which refuses to expand beyond the limits."""
    return Counted(gzip.open(path, "rb"), Bounds(path, limits))


@contextmanager
def _content_of(path: Path, member: Member) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise UserError(
            f"{path}: {shown(member.name)[1:-1]} {error}. Fetch the archive again."
        ) from error
