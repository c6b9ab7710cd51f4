"""Readers: from a dataset's archives, in their true formats, to a stream of labelled images.

A reader is `read(paths, options, scratch) -> Source`, where `paths` maps archive names to files
and `scratch` is a folder that it may unpack into. To add a format, write such a function beside
its siblings and name it in READERS.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.registry import lookup
from ssl_ood.datasets.archives import Data
from ssl_ood.datasets.catalogue import Dataset
from ssl_ood.datasets.same_content import Groups

NO_LABEL = -1
OF_WHERE_IT_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Item:
    """An image of a dataset. data: uint8 array (H, W) or (H, W, 3), or encoded bytes of it.

    group: the patient it shows, if the dataset knows. A patient is never on two sides of a split.
    """

    name: str
    label: int
    data: Data | np.ndarray
    group: str | None = None


@dataclass(frozen=True)
class Source:
    """The images of a split in a fixed order, and the names that the labels stand for, if any.

    facts: what the metadata of the packed set say about the choice of the images.
    """

    items: Iterator[Item]
    classes: list[str] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def open_split(dataset: Dataset, split: str, manifest: Mapping[str, Any], scratch: Path) -> Source:
    """The images of a split, out of the archives that the manifest lists.

    `select` in the split's options is applied here (see `choose`), in the reader's order.
    """
    spec = dataset.split(split)
    function = lookup("reader", dataset.reader, f"the catalogue's entry {dataset.name}").load()
    paths = Paths({a["file"]: Path(a["path"]) for a in manifest["archives"]}, dataset, split)
    options = {**dataset.options, **spec.options, "count": spec.count}
    if dataset.classes is not None:
        options["classes"] = list(dataset.classes)

    def read() -> Source:
        with _said(paths) as place:
            source = function(paths, options, scratch)
        items = _watched(source.items, paths, place)
        if dataset.grouped:
            items = (replace(i, group=dataset.group_of(i.name)) for i in items)
        return replace(source, items=items)

    select = options.get("select")
    if select is None:
        return read()
    return _selected(read, select, dataset.name, split, spec.verified)


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


@contextmanager
def _said(paths: Paths, place: SimpleNamespace | None = None) -> Iterator[SimpleNamespace]:
    """Turns whatever a reader trips over into a sentence.

    It names the archives and, where `place` has the name of one, the last image that was whole.
    """
    place = place or SimpleNamespace(image=None)
    try:
        yield place
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_WHERE_IT_WRITES:
            raise  # of the scratch folder, not of the archive
        files = ", ".join(map(str, paths.values()))
        where = "at its beginning" if place.image is None else f"behind {place.image!r}"
        raise UserError(
            f"{files} cannot be read as {paths.split} of {paths.dataset.name}: the reader "
            f"{paths.dataset.reader} fails {where} ({type(error).__name__}: {reason(error)}). "
            "Fetch it again, or correct the catalogue's entry."
        ) from error


def _watched(items: Iterator[Item], paths: Paths, place: SimpleNamespace) -> Iterator[Item]:
    with _said(paths, place):
        for item in items:
            place.image = item.name
            yield item


def choose(
    labels: np.ndarray,
    groups: np.ndarray,
    select: Mapping[str, Any],
    subject: str = "a split",
    early: np.ndarray | None = None,
) -> np.ndarray:
    """Which of the images a `select` takes: (N,) bool, for labels (N,) and groups (N,) ints >= 0.

    `select` has `classes`, then `seed`, `start` and `stop`: the images start..stop of those of the
    classes, with their groups in a seeded random order. A group that reaches over start or stop
    goes to the part that its first image is in, so that parts of one seed share no group; groups
    of `early` images, (N,) bool, come before all others, so that none of them reaches over. With
    `parts`, a list of such selections, their union is taken.
    Raises UserError, naming `subject`, where there are fewer than `stop` images to choose from, or
    not as many as `of` says.
    """
    if "parts" in select:
        parts = [choose(labels, groups, part, subject, early) for part in select["parts"]]
        return np.any(parts, axis=0)
    chosen = np.arange(len(labels))
    if "classes" in select:
        chosen = chosen[np.isin(labels, select["classes"])]
    if "seed" in select:
        start, stop = select.get("start", 0), select["stop"]
        if select.get("of") not in (None, len(chosen)):
            raise UserError(
                f"{subject} is chosen from {select['of']:,} images, its archive holds "
                f"{len(chosen):,} to choose from: another choice would come out. It is incomplete, "
                "holds more than the dataset, or is not the one the catalogue means."
            )
        if stop > len(chosen):
            raise UserError(
                f"{subject} needs {stop:,} images to choose from, its archive holds "
                f"{len(chosen):,}: it is incomplete or not the one the catalogue means."
            )
        _, first, own, sizes = np.unique(
            groups[chosen], return_index=True, return_inverse=True, return_counts=True
        )
        appearance = np.argsort(first)  # the groups in order of their first image
        # A generator of its own kind, not the runs' streams: a subset never changes with a seed.
        order = np.random.Generator(np.random.PCG64(select["seed"])).permutation(len(first))
        order = appearance[order]
        if early is not None:
            order = order[np.argsort(~early[chosen][first][order], kind="stable")]
        begin = np.empty(len(order), np.int64)  # of each group, in the random order of the images
        begin[order] = np.cumsum(sizes[order]) - sizes[order]
        chosen = chosen[(begin[own] >= start) & (begin[own] < stop)]
    keep = np.zeros(len(labels), bool)
    keep[chosen] = True
    return keep


def _selected(
    read: Callable[[], Source],
    select: Mapping[str, Any],
    dataset: str,
    split: str,
    verified: bool = True,
) -> Source:
    seeded = [part for part in select.get("parts", [select]) if "seed" in part]
    labels, groups = [], Groups()
    for item in read().items:
        labels.append(item.label)
        # Two sides of a split must share no picture, under whatever names.
        groups.add(item.group, item.data if seeded else None)
    labels, subject = np.array(labels, np.int64), f"Split {split} of {dataset}"
    if not verified:
        select, changed = _without_numbers(select, labels)
        for declared, counted in changed:
            print(
                f"{subject} is chosen from {declared:,} images, its archive holds {counted:,} to "
                "choose from; that number was never verified, so it is taken.",
                file=sys.stderr,
            )
    keep = choose(labels, groups.numbers(), select, subject, groups.copied())
    facts = {}
    if seeded:
        facts = {"chosen_from": [_number(labels, part) for part in seeded], "copies": groups.copies}
    source = read()
    items, classes = (i for i, k in zip(source.items, keep, strict=True) if k), source.classes
    if "merge_classes" in select:
        merged = {c: n for n, to in enumerate(select["merge_classes"]) for c in to["classes"]}
        lost = set(labels[keep]) - set(merged)
        if lost:
            raise UserError(
                f"The catalogue's merge_classes of {dataset} {split} leaves out the class(es) "
                f"{', '.join(map(str, sorted(lost)))}: name every class that the split takes."
            )
        items = (replace(item, label=merged[item.label]) for item in items)
        classes = [to["name"] for to in select["merge_classes"]]
    return Source(items, classes, facts)


def _number(labels: np.ndarray, part: Mapping[str, Any]) -> int:
    """How many images a seeded part of a selection is chosen from."""
    return int(np.isin(labels, part["classes"]).sum()) if "classes" in part else len(labels)


def _without_numbers(
    select: Mapping[str, Any], labels: np.ndarray
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """The selection without `of`, and where that is not what there is: what it says and what is."""
    parts = select.get("parts", [select])
    numbers = [(part["of"], _number(labels, part)) for part in parts if part.get("of")]
    bare = [{k: v for k, v in part.items() if k != "of"} for part in parts]
    result = {**select, "parts": bare} if "parts" in select else bare[0]
    return result, [(declared, counted) for declared, counted in numbers if declared != counted]
