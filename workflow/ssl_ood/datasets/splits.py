"""The names on both sides of a split, on disk; proof that no image and no patient is on both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.datasets.catalogue import Dataset, get
from ssl_ood.datasets.names import CROP, PackedSet
from ssl_ood.datasets.packed import open_set


def write_split(
    catalogue: Mapping[str, Dataset],
    data: Path,
    train: str,
    test: str,
    size: int,
    output: Path,
    fit: str = CROP,
) -> dict[str, Any]:
    """Compares the packed sets `train` and `test`, DATASET/SPLIT each, and lists both in `output`.

    Returns what it writes: for each side {set, images, patients, files}, where `patients` is their
    number, or None where names do not tell patients, and `files` are the names of the images in
    the archives, in the order of the packed images.
    Raises UserError if an image or a patient is on both sides, and for sets that do not come out
    of the same archives, whose names have nothing to do with each other.
    """
    sets = {"train": train, "test": test}
    datasets = {side: get(catalogue, name.partition("/")[0]) for side, name in sets.items()}
    if datasets["train"].store != datasets["test"].store:
        raise UserError(
            f"{train} and {test} come out of different archives, so that equal names mean nothing: "
            "compare two sets of one archive."
        )
    files = {
        side: open_set(data, PackedSet(*parts_of(name), size, fit), "files.txt").files
        for side, name in sets.items()
    }
    _refuse_common(files["train"], files["test"], "image", sets)
    groups = {
        side: None if datasets[side].group is None else [datasets[side].group_of(n) for n in names]
        for side, names in files.items()
    }
    _refuse_common(groups["train"] or (), groups["test"] or (), "patient", sets)
    result = {
        side: {
            "set": sets[side],
            "images": len(names),
            "patients": None if groups[side] is None else len(set(groups[side])),
            "files": names,
        }
        for side, names in files.items()
    }
    write_json(output, result)
    return result


def parts_of(name: str) -> tuple[str, str]:
    """The two parts of DATASET/SPLIT; raises UserError for other text."""
    dataset, slash, split = name.partition("/")
    if not (dataset and slash and split):
        raise UserError(f"A packed set is named DATASET/SPLIT, such as rsna/train_0, not {name!r}.")
    return dataset, split


def _refuse_common(one, other, what: str, sets: Mapping[str, str]) -> None:
    common = set(one) & set(other)
    if common:
        raise UserError(
            f"{len(common):,} {what}(s) are in {sets['train']} and in {sets['test']} too, "
            f"{min(common)} for one: correct the splits in the catalogue before anything is "
            "trained."
        )
