"""Readers: from a dataset's archives, in their true formats, to a stream of labelled images.

A reader is `read(paths, options, scratch) -> Source`, where `paths` maps archive names to files
and `scratch` is a folder that it may unpack into. To add a format, write such a function beside
its siblings and name it in READERS.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.datasets.archives import Data
from ssl_ood.datasets.catalogue import Dataset
from ssl_ood.errors import UserError

NO_LABEL = -1


@dataclass(frozen=True)
class Item:
    """An image of a dataset. data: uint8 array (H, W) or (H, W, 3), or encoded bytes of it."""

    name: str
    label: int
    data: Data | np.ndarray


@dataclass(frozen=True)
class Source:
    """The images of a split in a fixed order, and the names that the labels stand for, if any."""

    items: Iterator[Item]
    classes: list[str] | None = None


READERS = {
    "chexpert": "readers_medical",
    "cifar": "readers_arrays",
    "crops": "readers_demo",
    "glyphs": "readers_demo",
    "idx": "readers_arrays",
    "image_folders": "readers_archives",
    "imagenet": "readers_archives",
    "lsun_lmdb": "readers_archives",
    "npy": "readers_arrays",
    "places365": "readers_archives",
    "rsna": "readers_medical",
    "stack": "readers_demo",
    "stl10": "readers_arrays",
    "svhn": "readers_arrays",
    "table": "readers_demo",
    "tinyimagenet": "readers_archives",
}


def open_split(dataset: Dataset, split: str, manifest: Mapping[str, Any], scratch: Path) -> Source:
    """The images of a split, out of the archives that the manifest lists.

    `select` in the split's options is applied here: first the classes, then the images
    start..stop of the seeded random order of what is left, in the reader's order again.
    """
    spec = dataset.split(split)
    if dataset.reader not in READERS:
        raise UserError(
            f"The catalogue names the reader {dataset.reader!r} for {dataset.name}: there is none "
            f"of that name, only {', '.join(READERS)}."
        )
    module = importlib.import_module(f"ssl_ood.datasets.{READERS[dataset.reader]}")
    function = getattr(module, dataset.reader)
    paths = Paths({a["file"]: Path(a["path"]) for a in manifest["archives"]}, dataset, split)
    options = {**dataset.options, **spec.options, "count": spec.count}
    if dataset.classes is not None:
        options["classes"] = list(dataset.classes)

    def read() -> Source:
        return function(paths, options, scratch)

    select = options.get("select")
    return read() if select is None else _selected(read, select, dataset.name, split)


class Paths(dict):
    """Archive name to path; a missing one is said with what to do about it."""

    def __init__(self, paths: Mapping[str, Path], dataset: Dataset, split: str) -> None:
        super().__init__(paths)
        self.dataset, self.split = dataset, split

    def __missing__(self, file: str) -> Path:
        raise UserError(
            f"Split {self.split} of {self.dataset.name} is read from {file}, which was not "
            f"fetched. Fetch it with: ssl_ood fetch {self.dataset.name} --optional."
        )

    @property
    def only(self) -> Path:
        """The path of the dataset's only archive."""
        (path,) = self.values()
        return path


def _selected(read: Any, select: Mapping[str, Any], dataset: str, split: str) -> Source:
    labels = np.array([item.label for item in read().items], np.int64)
    chosen = np.arange(len(labels))
    if "classes" in select:
        chosen = chosen[np.isin(labels, select["classes"])]
    if "seed" in select:
        start, stop = select.get("start", 0), select["stop"]
        if stop > len(chosen):
            raise UserError(
                f"Split {split} of {dataset} needs {stop:,} images to choose from, its archive "
                f"holds {len(chosen):,}: it is incomplete or not the one the catalogue means."
            )
        # A generator of its own kind, not the runs' streams: a subset never changes with a seed.
        order = np.random.Generator(np.random.PCG64(select["seed"])).permutation(len(chosen))
        chosen = np.sort(chosen[order[start:stop]])
    keep = np.zeros(len(labels), bool)
    keep[chosen] = True
    source = read()
    return Source((i for i, k in zip(source.items, keep, strict=True) if k), source.classes)
