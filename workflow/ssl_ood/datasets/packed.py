"""A packed set on disk: memory-mapped images, labels, names of the source images, metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError

FILES = ("images.npy", "labels.npy", "files.txt", "meta.json")


@dataclass(frozen=True)
class Packed:
    """images: (N, S, S, 3) uint8, memory-mapped read-only; labels: (N,) int64, -1 for no label."""

    path: Path
    images: np.ndarray
    labels: np.ndarray
    meta: dict[str, Any]

    @cached_property
    def files(self) -> list[str]:
        """Name of each source image, in the order of the images; read when first asked for."""
        # Not splitlines(): a name may hold a character that it takes for the end of a line. Nor has
        # every archive its names in UTF-8.
        text = (self.path / "files.txt").read_bytes().decode("utf-8", "surrogateescape")
        return text.split("\n")[:-1]

    def __len__(self) -> int:
        return len(self.images)


def open_packed(path: str | Path) -> Packed:
    """Opens the packed set in the folder `path`; raises UserError if it is not whole.

    Checks that the four files are there and agree in shape and count, in milliseconds. That the
    pixels are what was packed is what `meta["images_sha256"]` is for.
    """
    path = Path(path)
    for name in FILES:
        if not (path / name).is_file():
            raise UserError(f"{path} is no packed dataset: {name} is missing. Pack it (again).")
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        images = np.load(path / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(path / "labels.npy", allow_pickle=False)
        count, size = int(meta["count"]), int(meta["size"])
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise UserError(f"The packed dataset {path} is damaged ({error}). Pack it again.") from None
    wrong = None
    if images.dtype != np.uint8 or images.shape != (count, size, size, 3):
        wrong = f"images.npy is {images.dtype} {images.shape}"
    elif labels.dtype != np.int64 or labels.shape != (count,):
        wrong = f"labels.npy is {labels.dtype} {labels.shape}"
    elif (lines := _count_lines(path / "files.txt")) != count:
        wrong = f"files.txt has {lines} names"
    if wrong:
        raise UserError(
            f"The packed dataset {path} is damaged: meta.json says {count} images of {size} pixels,"
            f" but {wrong}. Pack it again."
        )
    return Packed(path, images, labels, meta)


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
