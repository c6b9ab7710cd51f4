"""Packed sets that tests write by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import sealed
from ssl_ood.datasets.packed import CHECKSUMS


def write_packed(
    folder: Path, images: np.ndarray, labels: np.ndarray | None = None, **meta: Any
) -> Path:
    """Writes a packed set of (N, S, S, 3) uint8 images, whole, in place of one that is there.

    labels: (N,) whole numbers; none: -1. meta: "dataset" and "split", which name it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count, prefix = len(images), meta.get("dataset", "")
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.asarray(np.full(count, -1) if labels is None else labels))
    (folder / "files.txt").write_text("".join(f"{prefix}{i}\n" for i in range(count)))
    sums = {key: sha256_of(folder / name) for key, name in CHECKSUMS.items()}
    meta = {"count": count, "size": images.shape[1]} | meta | sums
    (folder / "meta.json").write_text(json.dumps(sealed(meta)))
    return folder
