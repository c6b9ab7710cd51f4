"""Small archives of every dataset of chapters 5 to 7, and a catalogue that knows them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import writers
import yaml
from PIL import Image
from small_medical import shrink_medical, write_medical
from writers import jpeg

CATALOGUE = Path(__file__).parents[2] / "resources" / "datasets.yaml"
# Images of each set: numbers that differ tell when one set is taken for another.
TRAIN, AUXILIARY = 60, 48
TESTED = {
    "cifar10": 20, "cifar100": 26, "svhn": 21, "imagenet30": 24, "tinyimagenet": 19, "lsun": 22,
    "stl10": 18, "places365": 23, "texture": 25, "tinyimagenet_odin": 17, "lsun_resize": 16,
    "texture_test1": 11,
}  # fmt: skip
SPLITS = {"tinyimagenet": "val", "places365": "validation", "texture": "all"}  # others: test


def scenes(rng: np.random.Generator, count: int, height: int, width: int | None = None):
    """(count, height, width, 3) smooth random pictures with structure; square without a width."""
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    shape = (width or height, height)
    return np.stack([np.asarray(Image.fromarray(s).resize(shape, Image.BICUBIC)) for s in small])


def write_archives(folder: Path) -> None:
    """The archives of every dataset of the config, of one more OOD set, and the weights."""
    folder.mkdir()
    rng = np.random.default_rng(6)
    tints = rng.integers(0, 128, (100, 1, 1, 3), np.uint8)

    def labelled(count: int, classes: int):
        numbers = rng.integers(0, classes, count)  # the tint of a class can be learned
        return scenes(rng, count, 32) // 2 + tints[numbers], numbers

    def pictures(name: str, height: int, width: int | None = None) -> np.ndarray:
        return scenes(rng, TESTED[name], height, width)

    def labels(name: str, first: int, last: int) -> list[int]:
        return rng.integers(first, last + 1, TESTED[name]).tolist()

    def folders(name: str, *classes: str) -> list[str]:
        return [classes[label] for label in labels(name, 0, len(classes) - 1)]

    writers.cifar10(folder, labelled(TRAIN, 10), labelled(TESTED["cifar10"], 10))
    writers.cifar100(folder, labelled(TRAIN, 100), labelled(TESTED["cifar100"], 100))
    writers.svhn(folder, pictures("svhn", 32), labels("svhn", 1, 10))
    of_classes = folders("imagenet30", "acorn", "barn", "zebra")
    writers.imagenet30(folder, pictures("imagenet30", 64, 80), of_classes, jpeg)
    of_classes = labels("tinyimagenet", 0, 9)
    writers.tinyimagenet(folder, pictures("tinyimagenet", 64), of_classes, jpeg)
    writers.lsun(folder, pictures("lsun", 64, 90), jpeg)
    writers.odin(folder, "LSUN_resize", pictures("lsun_resize", 32))
    writers.odin(folder, "Imagenet_resize", pictures("tinyimagenet_odin", 32))
    writers.stl10(folder, pictures("stl10", 96), labels("stl10", 1, 10))
    writers.places365(folder, pictures("places365", 256), labels("places365", 0, 2), jpeg)
    of_classes = folders("texture", "banded", "dotted", "woven")
    test1 = range(TESTED["texture_test1"])
    writers.dtd(folder, pictures("texture", 64, 90), of_classes, test1, jpeg)
    write_auxiliary(folder)
    write_medical(folder)


def write_auxiliary(
    folder: Path, imagenet: Sequence[np.ndarray] = (), dti: Sequence[np.ndarray] = ()
) -> None:
    """The archives of ImageNet and DTI; the first images of each give way to those named here."""
    rng = np.random.default_rng(7)
    photographs = [*imagenet, *scenes(rng, AUXILIARY, 75, 100)[len(imagenet) :]]
    third = AUXILIARY // 3
    synsets = {f"n0{i}": photographs[i * third : (i + 1) * third] for i in (2, 0, 1)}
    writers.imagenet(folder, synsets, jpeg)
    writers.dti(folder, np.stack([*dti, *scenes(rng, AUXILIARY, 32)[len(dti) :]]))


def write_catalogue(path: Path, archives: Path) -> None:
    """The project's catalogue with the checksums, sizes and counts of these archives."""
    catalogue = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    counts = {(name, SPLITS.get(name, "test")): count for name, count in TESTED.items()}
    counts["texture", "test"] = counts.pop(("texture_test1", "test"))  # derived from it
    counts |= {(name, "train"): TRAIN for name in ("cifar10", "cifar100")}
    counts |= {(name, "train"): AUXILIARY for name in ("imagenet", "dti")}
    for (name, split), count in counts.items():
        entry = catalogue["datasets"][name]
        entry["splits"][split]["count"] = count
        for archive in entry["archives"]:
            file = archives / archive["file"]
            if file.exists():
                md5 = hashlib.md5(file.read_bytes()).hexdigest()
                found = {"bytes": file.stat().st_size, "md5": md5}
                # What the catalogue does not know stays unknown.
                archive |= {key: found[key] for key in found.keys() & archive.keys()}
    shrink_medical(catalogue, archives)
    path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
