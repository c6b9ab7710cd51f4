"""The bank of patch tokens of a run and its self-test, kept in results/detect/RUN."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_ood.common.files import atomic_path, read_json, write_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.log import say
from ssl_ood.evaluation.detect.detector import Detector
from ssl_ood.evaluation.detect.patch_bank import Bank

CODE_VERSION = 1  # raised when the same images give another bank or another self-test


def kept_bank(detector: Detector) -> tuple[Bank, dict[str, Any]] | None:
    """The bank and what its self-test told; None where they are missing, damaged, of other weights
    or of other code."""
    path = _path(detector)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        recorded = read_json(path.with_suffix(".json"))
        proof = {**_proof(detector), "sha256": sha256_of(path)}
        if {key: recorded[key] for key in proof} == proof:
            tokens = np.load(path, allow_pickle=False)
            return Bank(torch.from_numpy(tokens).to(detector.device)), recorded["self_test"]
    return None


def keep_bank(detector: Detector, bank: Bank, facts: dict[str, Any]) -> None:
    """Writes the bank and its self-test; results that cannot be written to are left alone."""
    path = _path(detector)
    try:
        with atomic_path(path) as partial, open(partial, "wb") as file:
            np.save(file, bank.tokens.cpu().numpy())
        proof = {**_proof(detector), "sha256": sha256_of(path)}
        write_json(path.with_suffix(".json"), {**proof, "self_test": facts})
    except OSError as error:
        say(f"heat maps: the bank was not kept ({error.strerror}), it is made again next time")


def _path(detector: Detector) -> Path:
    return detector.files.results / "detect" / detector.files.run / "patch_tokens.npy"


def _proof(detector: Detector) -> dict[str, Any]:
    return {
        "run": detector.files.run,
        "weights": detector.model.sha256,
        "calibration": detector.files.calibration.name,
        "code_version": CODE_VERSION,
    }
