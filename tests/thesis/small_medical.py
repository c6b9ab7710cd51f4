"""Small archives of the medical datasets and of the pre-trained weights, for chapters 5 and 7."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import writers
import writers_medical
from PIL import Image
from writers import jpeg

# Every number of the catalogue's splits (count, start, stop, of), and the small one in its place.
NUMBERS = {
    "rsna": {
        26684: 59, 8851: 34, 11821: 13, 6012: 12, 17833: 25, 7851: 24, 1000: 10,
        21152: 42, 5532: 17, 6993: 24, 14159: 18, 1858: 10, 3674: 7,
    },
    "chexpert": {223414: 52, 191027: 26},
    "hyper_kvasir": {1600: 20, 2100: 29, 500: 9, 1000: 11, 2166: 31, 1028: 13},
    "hyper_kvasir_unlabelled": {99417: 28},
    "lag": {3143: 30, 2343: 21, 800: 9, 1711: 14},
    "imagenet_100k": {100000: 40},
    "imagenet_objects": {50000: 36, 10000: 12},
}  # fmt: skip
BACKBONE = "resnet18"  # of the small weights
SIDE = 64  # pixels of the films and pictures


def write_medical(folder: Path) -> None:
    """The archives of RSNA, CheXpert, Hyper-Kvasir and LAG, and both files of weights."""
    rng = np.random.default_rng(5)
    films, classes = {}, {}
    for kind, number in enumerate((34, 13, 12)):
        for i, film in enumerate(_pictures(rng, number, lesion=kind > 0)):
            patient = f"{kind}{i:02d}a-film"  # the classes one after another
            films[patient] = writers_medical.dicom(film[..., 0], jpeg=i % 2 == 0)
            classes[patient] = writers_medical.RSNA_CLASSES[kind]
    writers_medical.rsna(folder, films, classes)
    writers_medical.chexpert(folder, list(_pictures(rng, 52)[..., 0]), encode=jpeg)
    numbers = {"cecum": 14, "ileum": 2, "bbps-2-3": 15, "polyps": 13}  # two normal ones are spare
    images = {n: _pictures(rng, c, lesion=n == "polyps") for n, c in numbers.items()}
    writers_medical.hyper_kvasir(folder, images, jpeg)
    writers_medical.hyper_kvasir_unlabelled(folder, _pictures(rng, 28), jpeg)
    writers_medical.lag(folder, _pictures(rng, 30), _pictures(rng, 14, lesion=True), jpeg)
    writers.moco_weights(folder / "moco_v2_800ep_pretrain.pth.tar")
    writers.torchvision_weights(folder / "resnet50-0676ba61.pth")
    writers.torchvision_weights(folder / "resnet18-f37072fd.pth")


def shrink_medical(catalogue: dict[str, Any], folder: Path) -> None:
    """Fits the entries of the catalogue (as read) to the archives in `folder`."""
    for name, numbers in NUMBERS.items():
        entry = catalogue["datasets"][name]
        if "derive" in entry:
            limit = entry["derive"]["limit"]
            entry["derive"]["limit"] = {split: numbers[limit[split]] for split in limit}
            entry["derive"].pop("of", None)  # as many as the small archive of ImageNet holds
        else:
            entry["splits"] = _small(entry["splits"], numbers)
    for entry in catalogue["weights"].values():
        entry["backbone"] = BACKBONE
        (archive,) = entry["archives"]
        content = (folder / archive["file"]).read_bytes()
        for kind in {"md5", "sha256"} & archive.keys():  # as many digits as the catalogue knows
            digest = hashlib.new(kind, content).hexdigest()
            archive[kind] = digest[: len(archive[kind])]


def _small(value: Any, numbers: dict[int, int]) -> Any:
    """The same with the small number under every count, start, stop and of."""
    if isinstance(value, list):
        return [_small(v, numbers) for v in value]
    if not isinstance(value, dict):
        return value
    sizes = ("count", "start", "stop", "of")
    return {
        k: numbers[v] if k in sizes and v is not None else _small(v, numbers)
        for k, v in value.items()
    }


def _pictures(rng: np.random.Generator, count: int, lesion: bool = False) -> np.ndarray:
    """(count, SIDE, SIDE, 3) smooth random pictures, dark; a bright square is the lesion."""
    small = rng.integers(0, 160, (count, 6, 6, 3), np.uint8)
    pictures = np.stack(
        [np.asarray(Image.fromarray(s).resize((SIDE, SIDE), Image.BICUBIC)) for s in small]
    )
    if lesion:
        for picture in pictures:
            top, left = rng.integers(0, SIDE - 16, 2)
            picture[top : top + 16, left : left + 16] = 240
    return pictures
