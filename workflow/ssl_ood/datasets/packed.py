"""A packed set on disk: memory-mapped images, labels, names of the source images, facts, metadata.

Whoever computes with one reads it in full first and compares it with the checksums in its
meta.json (`Packed.prove`), as ImageNet at 32 pixels is 4 GB: seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import is_whole
from ssl_ood.datasets import facts
from ssl_ood.datasets.names import CROP, PackedSet, packed_path

FILES = ("images.npy", "labels.npy", "files.txt", "meta.json")
CHECKSUMS = {  # in meta.json, and what they are of
    "images_sha256": "images.npy",
    "labels_sha256": "labels.npy",
    "files_sha256": "files.txt",
}
OPTIONAL = {
    "facts_sha256": facts.FILE
}  # not there in sets of an older version, which are read all the same
AGAIN = "Delete the folder and run the workflow (or `ssl_ood pack`) again, which packs it again."


@dataclass(frozen=True)
class Packed:
    """images: (N, S, S, 3) uint8, memory-mapped read-only; labels: (N,) int64, -1 for no label.

    stamps: what the file system said of the files when they were opened.
    """

    path: Path
    images: np.ndarray
    labels: np.ndarray
    meta: dict[str, Any]
    stamps: tuple[Any, ...] = ()

    @cached_property
    def files(self) -> list[str]:
        """Name of each source image, in the order of the images; read when first asked for.

        A backslash, a line break and a byte that is not UTF-8 are written as \\\\, \\n and \\xe9.
        """
        # Not splitlines(): a name may hold a character that it takes for the end of a line.
        return (self.path / "files.txt").read_text(encoding="utf-8").split("\n")[:-1]

    @cached_property
    def facts(self) -> dict[str, np.ndarray] | None:
        """What the source files say beside their pixels (`datasets.facts`), by name, (N,) each.

        None where an older version packed the set, which kept no facts.
        """
        return facts.read_facts(self.path / facts.FILE) if "facts_sha256" in self.meta else None

    @property
    def checksums(self) -> dict[str, str]:
        """Of what is read: SHA-256 of the files images.npy and labels.npy, from the metadata."""
        return {name: self.meta[f"{name}_sha256"] for name in ("images", "labels")}

    def __len__(self) -> int:
        return len(self.images)

    def prove_if_touched(self) -> None:
        """`prove`, where a file was touched since the set was opened: for whoever asks often.

        The time of the last change of an inode cannot be put back, unlike that of its content.
        """
        with _reading(self.path):
            touched = _stamps(self.path) != self.stamps
        if touched:
            self.prove()

    def prove(self, *only: str) -> Packed:
        """Reads the files in full (or `only` these) and compares them with their checksums.

        Returns the set itself. Raises UserError for a file that is not what was packed.
        """
        if not is_whole(self.meta):
            raise UserError(
                f"The packed dataset {self.path} is damaged: meta.json was altered. {AGAIN}"
            )
        kept = {key: name for key, name in OPTIONAL.items() if key in self.meta}
        for key, name in (CHECKSUMS | kept).items():
            if only and name not in only:
                continue
            if key not in self.meta:
                raise UserError(
                    f"The packed dataset {self.path} was packed by an older version, without a "
                    f"checksum of {name}. {AGAIN}"
                )
            with _reading(self.path):
                digest = sha256_of(self.path / name)
            if digest != self.meta[key]:
                raise UserError(
                    f"The packed dataset {self.path} is damaged: {name} is not what was packed, "
                    f"its checksum is {digest[:12]} instead of {self.meta[key][:12]}. {AGAIN}"
                )
        return self


def open_set(data: Path, chosen: PackedSet, *only: str) -> Packed:
    """A packed set below `data`, proven to be that one and as packed.

    only: the files that are read, if not all are.

    Raises UserError for one that is not there, is damaged, or is another one.
    """
    path = data / chosen.path
    packed = open_packed(path)
    identity = (packed.meta.get(key) for key in ("dataset", "split", "size"))
    named = packed_path(*identity, packed.meta.get("fit", CROP))
    if named != chosen.path and is_whole(packed.meta):  # what was altered names nothing
        raise UserError(
            f"{path} holds another packed dataset, {named}, as its meta.json says. {AGAIN}"
        )
    return packed.prove(*only)


def open_packed(path: str | Path) -> Packed:
    """Opens the packed set in the folder `path`; raises UserError if it is not whole.

    Checks that the four files are there and agree in shape and count, in milliseconds. That the
    content is what was packed is proven by `Packed.prove`.
    """
    path = Path(path)
    with _reading(path):
        return _open(path)


def _open(path: Path) -> Packed:
    for name in FILES:
        if not (path / name).is_file():
            raise UserError(f"{path} is not a packed dataset: {name} is missing. Pack it (again).")
    stamps = _stamps(path)
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(path / "labels.npy", allow_pickle=False)
        count, size = int(meta["count"]), int(meta["size"])
    except PermissionError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise UserError(f"The packed dataset {path} is damaged ({error}). Pack it again.") from None
    wrong = None
    if images.dtype != np.uint8 or images.shape != (count, size, size, 3):
        wrong = f"images.npy is {images.dtype} {images.shape}"
    elif labels.dtype != np.int64 or labels.shape != (count,):
        wrong = f"labels.npy is {labels.dtype} {labels.shape}"
    elif (lines := _count_lines(path / "files.txt")) != count:
        wrong = f"files.txt has {lines} names"
    elif "facts_sha256" in meta and not (path / facts.FILE).is_file():
        wrong = f"{facts.FILE} is missing"
    if wrong:
        raise UserError(
            f"The packed dataset {path} is damaged: meta.json says {count} images of {size} pixels,"
            f" but {wrong}. Pack it again."
        )
    return Packed(path, images, labels, meta, stamps)


def _stamps(path: Path) -> tuple[Any, ...]:
    there = (*FILES, *(name for name in OPTIONAL.values() if (path / name).is_file()))
    states = ((path / name).stat() for name in there)
    return tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in states)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The packed dataset {path} cannot be read ({error.strerror}: {error.filename}): "
            "check the disk and the permissions of its files."
        ) from None


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
