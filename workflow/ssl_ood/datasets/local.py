"""Files and folders on this disk that are used in place, and how a change of them is seen.

The state of a folder is a digest of its listing (name, size and time of change of every file), that
of a file of its size and time of change. The plan takes it (100,000 files in under a second), so
that what was added, removed or written anew is packed again; a file that was only touched counts as
changed. Light: every dry-run asks.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Archive, Dataset
from ssl_ood.datasets.folders import Found, files_below

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Listing:
    """The files of a folder in their order; of an archive, itself. state: hexadecimal SHA-256."""

    path: str
    files: tuple[Found, ...]
    state: str
    bytes: int

    @property
    def folder(self) -> bool:
        """Whether it is a folder, not an archive."""
        return os.path.isdir(self.path)


def listing_of(path: str | Path) -> Listing:
    """The files at `path`, listed once a process.

    Raises UserError where nothing is there, it is neither a folder nor an archive, or it cannot be
    read; the sentence begins with the path.
    """
    return _listed(os.path.abspath(path))


@lru_cache(maxsize=64)
def _listed(path: str) -> Listing:
    try:
        state = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} is not there ({error.strerror}): correct the path.") from None
    if stat.S_ISDIR(state.st_mode):
        files = tuple(files_below(Path(path)))
    elif path.lower().endswith(ARCHIVES) and stat.S_ISREG(state.st_mode):
        files = (Found(os.path.basename(path), path, state.st_size, state.st_mtime_ns),)
    else:
        raise UserError(
            f"{path} is no folder and no archive ({', '.join(ARCHIVES)}): name one of these."
        )
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.name}\0{file.size}\0{file.changed_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return Listing(path, files, digest.hexdigest(), sum(file.size for file in files))


def state_of(dataset: Dataset) -> list[str]:
    """The states of the local archives of a dataset, for the plan; empty where it has none, and of
    what is not there, which is a gap."""
    paths = [archive.path for archive in dataset.archives if archive.path is not None]
    return [state_of_path(path) for path in paths if os.path.exists(path)]


def state_of_path(path: str) -> str:
    """The state of any local file or folder."""
    if os.path.isdir(path):
        return listing_of(path).state
    found = os.stat(path)
    return f"{found.st_size} bytes at {found.st_mtime_ns}"


def local_entry(archive: Archive) -> dict[str, object]:
    """What a manifest says of a local folder."""
    listing = listing_of(archive.path or "")
    return {"bytes": listing.bytes, "sha256": listing.state}
