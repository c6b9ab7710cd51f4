"""The sets of a run as evaluation sees them: features, and scores that see images, set by set.

They lie in one folder: one file per set, with a proof next to it. What a file depends on (run,
weights, images, code) and its own content are checked when it is read: a set that has not changed
is not extracted again; one that is missing, damaged or of another run is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, read_json, write_json, writing
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.log import say
from ssl_ood.common.registry import Entry, lookup
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.datasets.names import PackedSet
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.evaluation.features import embed, extract, in_blocks
from ssl_ood.methods.base import Model
from ssl_ood.methods.precision import products
from ssl_ood.methods.settings import Precision


@dataclass(frozen=True)
class EvaluatedSet:
    """A packed set of a run. features: (N, d) float32; labels: (N,) int64, -1 for none.

    image_scores: by score, (N,) or (N, T) float64; embeddings: by name, (N, ...) float32, what some
    scores compare instead of features; checksums: of the packed set.
    """

    name: str
    dataset: str
    role: str
    features: np.ndarray
    labels: np.ndarray
    image_scores: dict[str, np.ndarray] = field(default_factory=dict)
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Extractor:
    """Extracts sets with a model into `folder`; image_scores: (entry, keyword arguments);
    embeddings: names of what else the model is asked for.

    trained: what the training of the model said at its end (train.json).
    """

    model: Model
    folder: Path
    device: torch.device
    precision: Precision
    trained: Mapping[str, Any]
    image_scores: Sequence[tuple[Entry, dict[str, Any]]] = ()
    embeddings: Sequence[str] = ()

    def read(self, data: Path, chosen: PackedSet, role: str) -> EvaluatedSet:
        """A packed set below `data`, extracted now where that was not done before."""
        packed, name = open_set(data, chosen), chosen.name
        self._refuse_other_than_trained_on(packed, chosen.path)
        features, fresh = self._features(packed, name)
        say(f"{name}: {len(packed)} images" + ("" if fresh else ", as before"))
        if not np.isfinite(features).all():
            raise UserError(
                f"{self.model.settings.run}: features of {name} are NaN or infinite: the training "
                "of this run diverged, train it again with a lower lr_base."
            )
        scores = {
            entry.name: self._scores(packed, name, entry, options)
            for entry, options in self.image_scores
        }
        labels = np.asarray(packed.labels)
        embedded = {e: self._embedded(packed, name, e) for e in self.embeddings}
        sums = packed.checksums
        return EvaluatedSet(name, chosen.called, role, features, labels, scores, embedded, sums)

    def _refuse_other_than_trained_on(self, packed: Packed, name: str) -> None:
        """A set that the run was trained on is still the one that it was trained on."""
        recorded = {"images": self.trained["datasets"], "labels": self.trained.get("labels", {})}
        for part, checksum in packed.checksums.items():
            expected = recorded[part].get(name, checksum)
            if checksum != expected:
                raise UserError(
                    f"{packed.path} is not what {self.model.settings.run} was trained on: the "
                    f"checksum of its {part} is {checksum[:12]}, train.json of the run says "
                    f"{expected[:12]}. Bring the set back, or delete the run's folder and run the "
                    "workflow again, which trains the run on what is there."
                )

    def _features(self, packed: Packed, name: str) -> tuple[np.ndarray, bool]:
        proof = self._proof(packed) | {"code_version": VERSIONS["features"]}
        return _remembered(
            self.folder / f"{name}.npy",
            proof,
            lambda: extract(self.model, packed.images, self.device, self.precision),
        )

    def _embedded(self, packed: Packed, name: str, embedding: str) -> np.ndarray:
        proof = self._proof(packed) | {"code_version": VERSIONS["features"], "of": embedding}

        def compute() -> np.ndarray:
            return embed(self.model, embedding, packed.images, self.device, self.precision)

        return _remembered(self.folder / f"{name}.{embedding}.npy", proof, compute)[0]

    def _scores(
        self, packed: Packed, name: str, entry: Entry, options: dict[str, Any]
    ) -> np.ndarray:
        proof = self._proof(packed) | {"score_version": entry.version, "options": repr(options)}

        def compute() -> np.ndarray:
            function = entry.load()
            with products("float32"):
                blocks = in_blocks(
                    packed.images, self.device, lambda block: function(self.model, block, **options)
                )
            return np.concatenate([block.double().cpu().numpy() for block in blocks])

        return _remembered(self.folder / f"{name}.{entry.name}.npy", proof, compute)[0]

    def _proof(self, packed: Packed) -> dict[str, Any]:
        return {
            "run": self.model.settings.run,
            "method_version": lookup("method", self.model.settings.method).version,
            "weights": self.model.sha256,
            "images": packed.checksums["images"],
            "precision": self.precision,
        }


def _remembered(
    path: Path, proof: dict[str, Any], compute: Callable[[], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """The array at `path`, computed where it, or what it depends on, is another; whether it was."""
    proof_path = path.with_suffix(".json")
    # What is missing, damaged or cannot be read proves nothing.
    with contextlib.suppress(OSError, ValueError):
        if read_json(proof_path) == proof | {"sha256": sha256_of(path)}:
            return np.load(path, allow_pickle=False), False
    with writing(path):
        proof_path.unlink(missing_ok=True)
    array = compute()
    with writing(path):
        with atomic_path(path) as partial, open(partial, "wb") as file:
            np.save(file, array)
        write_json(proof_path, proof | {"sha256": sha256_of(path)})
    return array, True
