"""The names on both sides of a split, on disk; proof that no image and no patient is on both."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.datasets.catalogue import Dataset, get
from ssl_ood.datasets.duplicates import digests_of
from ssl_ood.datasets.names import CROP, PackedSet
from ssl_ood.datasets.packed import Packed, open_set


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
    of the same archives, whose names have nothing to do with each other. Images of equal pixels
    under different names are said, not refused: small pictures may be alike by chance.
    """
    sets = {"train": train, "test": test}
    datasets = {side: get(catalogue, name.partition("/")[0]) for side, name in sets.items()}
    if datasets["train"].store != datasets["test"].store:
        raise UserError(
            f"{train} and {test} come out of different archives, so that equal names mean nothing: "
            "compare two sets of one archive."
        )
    packed = {
        side: open_set(data, PackedSet(*parts_of(name), size, fit)) for side, name in sets.items()
    }
    files = {side: images.files for side, images in packed.items()}
    _refuse_common(files["train"], files["test"], "image", sets)
    groups = {
        side: None if not datasets[side].grouped else [datasets[side].group_of(n) for n in names]
        for side, names in files.items()
    }
    _refuse_common(groups["train"] or (), groups["test"] or (), "patient", sets)
    _say_alike(packed["train"], packed["test"])
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


def _say_alike(train: Packed, test: Packed) -> None:
    """Prints how many packed images of `test` have exactly the pixels of one of `train`."""
    place = {digest.tobytes(): i for i, digest in enumerate(digests_of(train))}
    pairs = [(place.get(d.tobytes()), i) for i, d in enumerate(digests_of(test))]
    pairs = [(i, j) for i, j in pairs if i is not None]
    if pairs:
        first, second = train.files[pairs[0][0]], test.files[pairs[0][1]]
        print(
            f"{len(pairs):,} image(s) of {test.path} have exactly the pixels of one in "
            f"{train.path}, for example {second} those of {first}: the same picture may be on "
            "both sides.",
            file=sys.stderr,
        )


def parts_of(name: str) -> tuple[str, str]:
    """The two parts of DATASET/SPLIT; raises UserError for other text."""
    dataset, slash, split = name.partition("/")
    if not (dataset and slash and split):
        raise UserError(f"A packed set is named DATASET/SPLIT, such as rsna/train_0, not {name!r}.")
    return dataset, split


def _refuse_common(one, other, unit: str, sets: Mapping[str, str]) -> None:
    common = set(one) & set(other)
    if common:
        raise UserError(
            f"{len(common):,} {unit}(s) are in {sets['train']} and in {sets['test']} too, "
            f"for example {min(common)}: correct the splits in the catalogue before anything is "
            "trained."
        )
