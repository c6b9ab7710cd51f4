"""What the evaluation of a run kept of its images: features and scores, with their proofs; and what
is to be had of the training images themselves: labels, names and small pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import read_rows
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.evaluation.detect.run_files import RunFiles

AGAIN = "evaluate the run again with `snakemake --forcerun evaluate`, or open its bundle again"


def kept_features(folder: Path, name: str, run: str, weights: str) -> np.ndarray | None:
    """Features (N, d) of the evaluated set `name`; None where there are none.

    weights: the checksum of those of the run. Raises UserError for features that are damaged or of
    another run or other weights.
    """
    path = folder / f"{name}.npy"
    if not path.is_file():
        return None
    try:
        proof = read_json(path.with_suffix(".json"))
        identity = {key: proof[key] for key in ("run", "weights", "sha256")}
        if identity == {"run": run, "weights": weights, "sha256": sha256_of(path)}:
            return np.load(path, allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"The features {path} are damaged or not those of {run}: {AGAIN}.")


def calibration_scores(files: RunFiles, column: str, weights: str) -> np.ndarray | None:
    """Scores (n,) of the calibration images that the evaluation kept; None where it has none.

    Raises UserError for scores that are damaged or of another run or other weights.
    """
    if not files.scores.is_file():
        return None
    table, proof = read_rows(files.scores, "scores", files.run)
    if proof.get("inputs", {}).get("weights") != weights:
        raise UserError(f"The scores {files.scores} are not of these weights: {AGAIN}.")
    if column not in table.column_names:
        return None
    import pyarrow.compute as pc

    named = pc.equal(table["set"], files.calibration.name)
    rows = table.filter(pc.and_(named, pc.equal(table["role"], files.calibration_role)))
    return rows[column].to_numpy().astype(np.float64) if len(rows) else None


def train_labels(files: RunFiles) -> np.ndarray:
    """Labels (M,) int64 of the training images. Raises UserError where the packed set is gone."""
    refuse_without_images(files, "This score needs the labels of the training images")
    return np.asarray(open_set(files.results / "data", files.train, "labels.npy").labels)


def refuse_without_images(files: RunFiles, need: str) -> None:
    """Raises UserError where the packed training set is not here, as in a bundle."""
    if not (files.results / "data" / files.train.path).is_dir():
        raise UserError(
            f"{need}, and those of {files.run} are not here (no bundle has them): name the folder "
            "of the run where it was trained."
        )


@dataclass(frozen=True)
class TrainImages:
    """What can be shown of the training images: of a packed set, or of what a bundle brought."""

    files: RunFiles
    trained: dict

    @cached_property
    def names(self) -> list[str] | None:
        """Their names, in their order; None where nobody kept them."""
        if self._packed is not None:
            return self._packed.files
        path = self.files.results / "names" / self.files.run / f"{self.files.train.name}.json"
        return read_json(path)["names"] if path.is_file() else None

    @cached_property
    def pictures(self) -> np.ndarray | None:
        """(M, S, S, 3) uint8, mapped into memory; None where they are not here."""
        if self._packed is not None:
            return self._packed.images
        path = self.files.results / "thumbnails" / self.files.run / f"{self.files.train.name}.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    @cached_property
    def _packed(self) -> Packed | None:
        """The packed set, if it is here and the one that the run was trained on."""
        try:
            packed = open_set(self.files.results / "data", self.files.train, "files.txt")
        except UserError:
            return None
        checksum = self.trained["datasets"].get(self.files.train.path)
        return packed if checksum in (None, packed.checksums["images"]) else None
