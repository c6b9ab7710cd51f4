"""The cases: what is made ready for a size, and the work that is measured.

python -m growth_of.cases scores 10000        # prints the seconds and the memory as JSON
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
THREADS = 1  # of PyTorch: more would measure how they wait for each other on a busy machine
FEATURES = 384  # of ViT-S
TRAIN = 10_000  # training images, where only the test images grow
DISTINCT = 500  # pictures that the packed files repeat
Work = Callable[[], str]


@dataclass(frozen=True)
class Case:
    """prepare: (size, folder) -> the work that is measured, which returns a note; largest: sizes
    for a machine that has the time; beyond: sizes that are only extrapolated."""

    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Work]
    largest: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()


def dry_run(seeds: int, folder: Path) -> Work:
    """Snakemake plans config.yaml with so many seeds."""
    command = [sys.executable, "-m", "snakemake", "all", "-n", "--quiet", "rules"]
    command += ["--config", "strict=true", f"results_dir={folder}", f"seeds={[*range(seeds)]}"]

    def work() -> str:
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        counts = dict(re.findall(r"^(train|total) +(\d+)", said, re.MULTILINE))
        return f"{counts['train']} trainings, {counts['total']} jobs"

    return work


def packing(images: int, folder: Path) -> Work:
    """A zip of PNG files of 8 x 8 pixels is packed to 8 x 8."""
    from io import BytesIO

    from PIL import Image

    from ssl_ood.datasets.catalogue import load_catalogue
    from ssl_ood.datasets.pack import pack
    from ssl_ood.declarations import declare_everything

    declare_everything()
    rng, pictures = np.random.default_rng(0), []
    for _ in range(min(DISTINCT, images)):
        stream = BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(stream, "PNG")
        pictures.append(stream.getvalue())
    path = folder / "tiny.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(images):
            archive.writestr(f"tiny/{i % 10}/{i:07d}.png", pictures[i % len(pictures)])
    catalogue = folder / "datasets.yaml"
    catalogue.write_text(json.dumps({"datasets": {"tiny": {
        "title": "Tiny", "kind": "natural", "access": "free", "licence": None, "citation": "none",
        "reader": "image_folders", "options": {"root": "tiny"},
        "archives": [{"file": path.name, "urls": ["https://tiny.example/tiny.zip"]}],
        "splits": {"train": {"count": images}},
    }}}), encoding="utf-8")  # fmt: skip
    dataset = load_catalogue(catalogue)["tiny"]
    told = {"file": path.name, "path": str(path), "bytes": 0, "sha256": "", "verified": False}

    def work() -> str:
        pack(dataset, "train", 8, {"archives": [told]}, folder / "packed", workers=2)
        return "PNG of 8 x 8 in a zip, two workers"

    return work


def _features(test: int, train: int):
    import torch

    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, FEATURES, generator=generator) + 0.3 for n in (test, train)]


def _scores(test: int, train: int, temperatures: int) -> Work:
    from ssl_ood.evaluation.scores.cosine import cosine_tau

    features = _features(test, train)
    taus = [0.02 + 0.005 * i for i in range(temperatures)]

    def work() -> str:
        cosine_tau(*features, taus)
        return f"{test:,} test by {train:,} training images, {temperatures} temperature(s)"

    return work


def scores_of_test(test: int, folder: Path) -> Work:
    """Equation 6.1 for all 13 temperatures, of more and more test images."""
    return _scores(test, TRAIN, 13)


def scores_against_train(train: int, folder: Path) -> Work:
    """The same against more and more training images."""
    return _scores(TRAIN, train, 13)


def scores_of_pairs(pairs: int, folder: Path) -> Work:
    """As many test as training images."""
    side = round(pairs**0.5)
    return _scores(side, side, 13)


def one_block(train: int, folder: Path) -> Work:
    """A thousand test images against so many training images: what the memory must hold."""
    return _scores(1000, train, 13)


def temperatures(count: int, folder: Path) -> Work:
    """10^4 test images against 10^4 training images at so many temperatures."""
    return _scores(10_000, 10_000, count)


CASES = {
    "dry-run": Case("seeds", (1, 10), dry_run, (30,)),
    "packing": Case("images", (10_000, 30_000, 100_000), packing, (1_000_000,)),
    "scores, test": Case("test images", (10_000, 30_000), scores_of_test, (100_000,)),
    "scores, training": Case("training images", (10_000, 30_000), scores_against_train, (100_000,)),
    "scores, both": Case(
        "pairs", (10**6, 10**7, 10**8), scores_of_pairs, (10**9,), (10**10, 10**12)
    ),
    "one block": Case("training images", (10_000, 100_000), one_block, (1_000_000,)),
    "temperatures": Case("temperatures", (1, 2, 4, 8, 13), temperatures),
}


def processor_seconds() -> float:
    """Of this process and of those of its children that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, who))


def peak_mebibytes() -> float:
    """The largest memory of this process or of a child, so far."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 1024


def main() -> None:
    """Runs one case and prints what it took."""
    name, size = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        work = CASES[name].prepare(size, Path(folder))
        began, before = processor_seconds(), peak_mebibytes()
        note = work()
        told = {
            "seconds": processor_seconds() - began,
            "mebibytes": peak_mebibytes() - before,
            "note": note,
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
