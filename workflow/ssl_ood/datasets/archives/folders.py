"""Files of a folder that stands for an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ssl_ood.datasets.archives.content import FileRef, Member
from ssl_ood.datasets.archives.names import check_link


def folder_members(path: Path) -> Iterator[Member]:
    """The files below a folder, sorted folder by folder."""
    root = path.resolve()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if Path(folder, f).is_symlink())]):
            file = Path(folder, name)
            inside = file.relative_to(root).as_posix()
            if file.is_symlink():
                check_link(path, inside, os.readlink(file))
            else:
                yield Member(inside, FileRef(str(file), 0, file.stat().st_size))
