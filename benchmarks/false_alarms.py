"""Whether the interval of false alarms holds what is flagged, on real images.

    python benchmarks/false_alarms.py FOLDER_OR_ZIP [--output docs/measured/false_alarms.csv]

In each of 20 seeded splits a third of the images are training images, a third calibration and a
third fresh images of the same source. Features are the mean colours of 4 x 4 patches; the scores
are the workflow's. The 95 % interval should hold the number flagged in 19 of 20 splits.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import torch

from ssl_ood.datasets.decode import Decoding
from ssl_ood.evaluation.detect.source import Unreadable, images_of
from ssl_ood.evaluation.scores.cosine import cosine_max
from ssl_ood.evaluation.scores.mahalanobis import mahalanobis
from ssl_ood.measures.conformal import Calibration

SPLITS, RATE, IMAGES, SIZE = 20, 0.05, 6000, 32


def main() -> int:
    """Prints one line per split; returns 1 where fewer than 17 of the splits are held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    features = features_of(options.images)
    rows = []
    for name, score in (("mahalanobis", mahalanobis), ("cosine_max", cosine_max)):
        for seed in range(SPLITS):
            rows.append({"score": name, "seed": seed, **one_split(features, score, seed)})
            print(rows[-1])
    held = {name: sum(r["held"] for r in rows if r["score"] == name) for name in
            ("mahalanobis", "cosine_max")}  # fmt: skip
    print(f"splits of {SPLITS} whose interval holds the number flagged: {held}")
    if options.output:
        with open(options.output, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return int(min(held.values()) < 17)


def features_of(path: Path) -> torch.Tensor:
    """(N, 48) float32 of at most `IMAGES` images, evenly taken in the order of the folder."""
    pixels = [block for _, block, _ in images_of(path, Decoding(SIZE), Unreadable())]
    images = np.concatenate(pixels)
    rows = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).round().astype(int)
    images = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float() / 255
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def one_split(features: torch.Tensor, score, seed: int) -> dict[str, object]:
    """What is flagged among the fresh images of a seeded split, and the interval for it."""
    order = np.random.default_rng(seed).permutation(len(features))
    train, calibration, fresh = (features[part] for part in np.array_split(order, 3))
    known = Calibration.of(score(calibration, train).numpy())
    flagged = int(known.flagged(score(fresh, train).numpy(), RATE).sum())
    low, high = known.false_alarms(RATE, len(fresh))
    return {
        "calibration": len(calibration), "fresh": len(fresh), "flagged": flagged, "low": low,
        "high": high, "held": low <= flagged <= high,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
