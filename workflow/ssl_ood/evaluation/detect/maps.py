"""Heat maps: where an image is unlike the training images, by its patch tokens.

The heat of a patch is 1 minus the cosine similarity of its token to the nearest token of the bank:
the tokens of a seeded sample of training images, as in PatchCore (Roth et al. 2022). `place` takes
those of the same place only, which finds more where images are aligned, as radiographs are;
`anywhere` takes those of all places. A self-test decides: patches of other calibration images are
pasted into calibration images, and the rule with the higher pixel AUROC is taken. Below 0.8 maps
are refused.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path
from ssl_ood.common.log import say
from ssl_ood.common.registry import lookup
from ssl_ood.common.streams import stream
from ssl_ood.datasets.packed import open_set
from ssl_ood.evaluation.detect.detector import Detector
from ssl_ood.evaluation.detect.kept import refuse_without_images
from ssl_ood.evaluation.detect.map_files import keep_bank, kept_bank
from ssl_ood.evaluation.detect.patch_bank import ANYWHERE, PLACE, Bank, make_bank, unit_tokens
from ssl_ood.measures.metrics import auroc

LEAST = 0.8  # pixel AUROC of the self-test
TEST_IMAGES, TEST_PIXELS = 200, 1 << 20


def paste(images: np.ndarray, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, S, S, 3) with a square of another of them pasted in, and where, (N, S, S) bool.

    The square is cut and pasted at seeded places of its own; side in pixels.
    """
    rng = stream(seed, "pasted patches")
    n, size = images.shape[:2]
    order = rng.permutation(n)
    given = images[np.roll(order, 1)][np.argsort(order)]  # never the image itself
    pasted, where = images.copy(), np.zeros(images.shape[:3], bool)
    corners = rng.integers(0, size - side + 1, (n, 4))
    for i, (top, left, from_top, from_left) in enumerate(corners):
        square = given[i, from_top : from_top + side, from_left : from_left + side]
        pasted[i, top : top + side, left : left + side] = square
        where[i, top : top + side, left : left + side] = True
    return pasted, where


def enlarged(heat: Tensor, size: int) -> Tensor:
    """(N, S, S) of (N, P) heat on a square grid, bilinear."""
    side = round(heat.shape[1] ** 0.5)
    grid = heat.view(len(heat), 1, side, side)
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def self_test(
    detector: Detector, bank: Bank, images: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """The pixel AUROC by rule, of patches pasted into (n, S, S, 3) uint8 calibration images.

    They have an eighth of the image's side, 8 pixels at least.
    """
    size = images.shape[1]
    count = min(len(images), TEST_IMAGES, max(2, TEST_PIXELS // size**2))
    rows = np.sort(stream(seed, "heat map test").permutation(len(images))[:count])
    pasted, where = paste(np.asarray(images[rows]), min(max(8, size // 8), size - 1), seed)
    tokens = unit_tokens(detector, pasted)
    results = {}
    for rule in (PLACE, ANYWHERE):
        heat = enlarged(bank.heat(tokens, rule), size).cpu().numpy()
        results[rule] = auroc(heat[~where], heat[where])
    return results


class Mapper:
    """Makes the heat maps of a folder, chunk by chunk, and keeps them in an unnamed file."""

    def __init__(self, detector: Detector, bank: Bank, rule: str, proof: dict[str, Any]) -> None:
        self.detector, self.bank, self.rule, self.told = detector, bank, rule, proof
        self.file: IO[bytes] | None = None
        self.shape: tuple[int, int] | None = None
        self.count = 0

    @classmethod
    @contextlib.contextmanager
    def made(cls, detector: Detector, output: Path) -> Iterator[Mapper]:
        """The mapper of a run. Raises UserError as `bank_of` does."""
        bank, proof = bank_of(detector)
        say(f"heat maps: {proof['note']}")
        with tempfile.TemporaryFile(dir=output) as file:
            mapper = cls(detector, bank, proof["rule"], proof)
            mapper.file = file
            yield mapper

    def heat(self, pixels: np.ndarray) -> np.ndarray:
        """(N, g, g) float32 of (N, S, S, 3) uint8 images."""
        tokens = unit_tokens(self.detector, pixels)
        heat = self.bank.heat(tokens, self.rule).cpu().numpy().astype(np.float32)
        side = round(heat.shape[1] ** 0.5)
        return heat.reshape(len(heat), side, side)

    def add(self, pixels: np.ndarray) -> np.ndarray:
        """`heat` of the next images of the folder, which is kept."""
        heat = self.heat(pixels)
        self.file.write(heat.tobytes())
        self.shape, self.count = heat.shape[1:], self.count + len(heat)
        return heat

    def finish(self, output: Path) -> dict[str, Any]:
        """Writes maps.npy, (m, g, g) float32 in the order of the rows; returns what was run."""
        self.file.seek(0)
        with atomic_path(output / "maps.npy") as partial, open(partial, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (self.count, *self.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            while block := self.file.read(1 << 20):
                file.write(block)
        return self.told


def bank_of(detector: Detector) -> tuple[Bank, dict[str, Any]]:
    """The bank of a run, made at its first use and kept beside its results, and its self-test.

    Raises UserError for a method or network without patch tokens, where the training or calibration
    images are not here, and for a self-test below 0.8.
    """

    method = detector.files.settings.method
    if "patch_tokens" not in lookup("method", method).more["offers"]:
        raise UserError(
            f"--maps: the method {method} of {detector.files.run} has no patch tokens to make heat "
            "maps of: leave out --maps."
        )
    kept = kept_bank(detector)
    if kept is None:
        files, data = detector.files, detector.files.results / "data"
        refuse_without_images(files, "--maps needs the packed images of the run, once")
        try:
            train = open_set(data, files.train, "images.npy")
            calibration = open_set(data, files.calibration, "images.npy")
        except UserError as error:
            raise UserError(
                f"--maps needs the packed training and calibration images of the run, once: {error}"
            ) from None
        bank = make_bank(detector, train.images)
        results = self_test(detector, bank, calibration.images)
        kept = bank, _told(results, len(bank.tokens), calibration.images.shape[1])
        keep_bank(detector, *kept)
    bank, proof = kept
    if proof["pixel_auroc"] < LEAST:
        raise UserError(
            f"--maps: the heat maps of {detector.files.run} are not to be trusted: "
            f"{proof['note']}, where {LEAST} is needed. Leave out --maps, or train with more or "
            "smaller patches."
        )
    return bank, proof


def _told(results: dict[str, float], images: int, size: int) -> dict[str, Any]:
    rule = max(results, key=results.get)
    side = max(8, size // 8)
    words = "at the same place of" if rule == PLACE else "anywhere in"
    note = (
        f"distance to the nearest patch {words} {images:,} training images; patches of {side} x "
        f"{side} pixels that are pasted into calibration images are found with a pixel AUROC of "
        f"{results[rule]:.3f}"
    )
    return {"rule": rule, "pixel_auroc": results[rule], "by_rule": results, "note": note}
