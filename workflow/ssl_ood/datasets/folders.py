"""The files of a folder that serves as an archive, in an order that no locale changes.

Links are followed, as the person who put them there means, and counted; one that leads back into
the folders that it lies in is passed over and counted. What is neither file nor folder, cannot be
read, or leads nowhere is an error: a part of the dataset would be missing without a word.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.notes import note
from ssl_ood.datasets.passed_over import why_passed_over

LINKS_IN_LINKS = 3  # folders that are links, one below the other, before it looks like a maze
FOLLOWED = "links followed"
CIRCULAR = "links that lead back"


@dataclass(frozen=True)
class Found:
    """A file: its name below the root with forward slashes, where it lies, its bytes."""

    name: str
    path: str
    size: int


def files_below(root: Path, faulty: Callable[[str, str], None] | None = None) -> Iterator[Found]:
    """All files of a folder but those that `why_passed_over` names: a folder's before its folders'.

    A name that is not UTF-8 has each foreign byte as a lone surrogate, whatever the locale.
    Raises UserError for a folder that cannot be read, a link that leads nowhere, a pipe, a socket
    or a device; with `faulty` they are left out and it is called with the name and the reason.
    """
    yield from _files(root, os.fspath(root), "", (_identity(os.stat(root)),), 0, faulty)


def _files(
    root: Path,
    folder: str,
    prefix: str,
    above: tuple[tuple[int, int], ...],
    links: int,
    faulty: Callable[[str, str], None] | None,
) -> Iterator[Found]:
    """The files in `folder`, named `prefix` and their own name; above: the folders it lies in."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        if faulty is not None and prefix:
            faulty(prefix, f"a folder that cannot be read ({error.strerror})")
            return
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror}): make it readable, or move it "
            f"out of {root}."
        ) from None
    folders = []
    for entry in inside:
        name = prefix + os.fsencode(entry.name).decode("utf-8", "surrogateescape")
        reason = why_passed_over(name)
        if reason is not None:
            note(reason, root, name)
            continue
        try:
            state = _state(root, entry)
        except UserError:
            if faulty is None:
                raise
            faulty(name, "a link that leads nowhere" if entry.is_symlink() else "cannot be read")
            continue
        if stat.S_ISDIR(state.st_mode):
            folders.append((entry, name, _identity(state)))
            continue
        if not stat.S_ISREG(state.st_mode):
            if faulty is not None:
                faulty(name, f"no file but {_kind(state.st_mode)}")
                continue
            raise UserError(
                f"{entry.path} is neither a file nor a folder but {_kind(state.st_mode)}: move it "
                f"out of {root}."
            )
        if entry.is_symlink():
            note(FOLLOWED, root, name)
        yield Found(name, entry.path, state.st_size)
    for entry, name, identity in folders:
        if entry.is_symlink():
            if identity in above:
                note(CIRCULAR, root, name)
                continue
            if links == LINKS_IN_LINKS:
                if faulty is not None:
                    faulty(f"{name}/", f"a link in a folder that is reached by {links} links")
                    continue
                raise UserError(
                    f"{entry.path} is a link in a folder that is reached by {links} links "
                    f"already: replace the links in {root} by folders."
                )
            note(FOLLOWED, root, name)
        below = links + entry.is_symlink()
        yield from _files(root, entry.path, f"{name}/", (*above, identity), below, faulty)


def _state(root: Path, entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:
        if not entry.is_symlink():
            raise UserError(f"{entry.path} cannot be read ({error.strerror}).") from None
        raise UserError(
            f"{entry.path} is a link that leads nowhere, to {os.readlink(entry.path)!r}: mend it, "
            f"or move it out of {root}."
        ) from None


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISBLK, "a device"))
    return next((kind for is_it, kind in kinds if is_it(mode)), "a device")
