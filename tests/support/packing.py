"""Fetching and packing a toy dataset in this process, which takes milliseconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import Packed, open_packed
from support.situations import Toy


def packed_here(
    toy: Toy, split: str = "train", size: int = 16, *, share: float = 0.0, **changes: Any
) -> Packed:
    """`Toy.pack` without further processes; share: of images that may be corrupt.

    Raises the UserError that the command line would print.
    """
    dataset = load_catalogue(toy.catalogue(**changes))["toy"]
    folder = toy.folder / f"packed-{split}"
    shutil.rmtree(folder, ignore_errors=True)
    manifest = fetch(dataset, toy.folder / "downloads", [toy.archives])
    pack(dataset, split, size, manifest, folder, workers=1, max_corrupt_share=share)
    return open_packed(folder)


def folder_toy(folder: Path) -> tuple[Toy, Path]:
    """A dataset that is a folder, and that folder, still empty."""
    toy = Toy(folder, "toy")
    root = toy.archives / "toy"
    root.mkdir()
    return toy, root


def halves(stop: int, total: int, **select: Any) -> dict[str, Any]:
    """`splits` of a catalogue: the first `stop` images of a seeded order, and the rest."""
    ends = {"train": {"stop": stop}, "test": {"start": stop, "stop": total}}
    return {
        side: {"count": None, "options": {"select": {"seed": 0, **end, **select}}}
        for side, end in ends.items()
    }
