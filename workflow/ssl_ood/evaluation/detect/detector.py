"""A trained run that scores new images: features, scores, p-values, nearest training images.

from ssl_ood import load
model = load("results/runs/RUN")  # or a bundle, run.zip
scores = model.score(images)
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.registry import lookup
from ssl_ood.datasets.decode import Undecodable
from ssl_ood.evaluation.detect.kept import calibration_scores, kept_features, train_labels
from ssl_ood.evaluation.detect.run_files import ChosenScore, RunFiles, choose_score, opened_run
from ssl_ood.evaluation.features import BATCH, BATCH_BYTES, extract, in_blocks
from ssl_ood.evaluation.scoring import Evidence, compute_scores, settings_of
from ssl_ood.measures.conformal import Calibration
from ssl_ood.measures.knn import nearest
from ssl_ood.methods.base import Model, load_model
from ssl_ood.methods.precision import products
from ssl_ood.methods.trained import prove_settings, prove_weights


class Detector:
    """The network of a run with the features of its training images and its calibration scores.

    trained: what the training said at its end; train: (M, d) features, None where they are not
    there (a bundle without features), so that only scores that need none can be computed.
    """

    def __init__(
        self, files: RunFiles, chosen: ChosenScore, device: torch.device | None = None
    ) -> None:
        self.files, self.chosen = files, chosen
        self.device = device or torch.device("cpu")
        self.trained = prove_weights(files.weights, files.run)
        prove_settings(files.weights, files.settings)
        self.model: Model = load_model(files.settings, files.weights, self.device)
        weights = self.model.sha256
        features = kept_features(files.features, files.train.name, files.run, weights)
        if features is None and chosen.entry.needs & {"features", "labels"}:
            raise UserError(
                f"{files.run} came without the features of its training images, which the score "
                f"{chosen.entry.name} needs: ask for a bundle made with --with-features, or "
                "evaluate the run here."
            )
        self.train = None if features is None else self._on_device(features)
        self.labels: Tensor | None = None
        if "labels" in chosen.entry.needs:
            self.labels = self._on_device(train_labels(files))
        self.calibration = Calibration.of(self._calibration_scores())

    # ---- what a person calls

    def score(self, images: Iterable[Any]) -> np.ndarray:
        """Anomaly scores (N,) float64, larger is more anomalous.

        images: (N, H, W, 3) or (N, H, W) uint8, or any mixture of such images, Pillow's, encoded
        files as bytes, and paths of image or DICOM files; they are scaled as the training images
        were. Raises UserError for one that cannot be read.
        """
        pixels = self.pixels(images)
        if not len(pixels):
            return np.empty(0)
        return self.score_pixels(pixels, self.features(pixels))

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values (N,) against the calibration images: small is anomalous."""
        return self.calibration.p_values(scores)

    def flagged(self, scores: np.ndarray, false_alarms: float = 0.05) -> np.ndarray:
        """Whether each score is above the threshold of that rate of false alarms, (N,) bool."""
        return self.calibration.flagged(scores, false_alarms)

    # ---- its parts

    def pixels(self, images: Iterable[Any]) -> np.ndarray:
        """(N, S, S, 3) uint8 of images of any size. Raises UserError as `score` does."""
        size = self.files.settings.size
        batches = []
        for i, image in enumerate(images):
            try:
                batches.append(self.files.decoding.apply(_data(image))[0])
            except (Undecodable, OSError) as error:
                name = image if isinstance(image, str | Path) else f"image {i}"
                raise UserError(f"{name} cannot be read ({reason(error)}).") from None
        return np.stack(batches) if batches else np.empty((0, size, size, 3), np.uint8)

    @property
    def batch(self) -> int:
        """Images that go through the network together; groups of so many give the same bits as the
        evaluation of the run did."""
        size = self.files.settings.size
        return max(1, min(BATCH[self.device.type], BATCH_BYTES // (3 * size * size)))

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """(N, d) float32 of (N, S, S, 3) uint8, as the evaluation extracts them."""
        precision = self.files.evaluation.precision
        return extract(self.model, pixels, self.device, precision)

    def score_pixels(self, pixels: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Scores (N,) float64 of images and their features. Raises UserError where one is NaN."""
        scores = self._seeing(pixels) if self._sees_images else self._of_features(features)
        if not np.isfinite(scores).all():
            raise UserError(
                f"{int((~np.isfinite(scores)).sum())} score(s) of {self.chosen.column} are NaN or "
                "infinite: the training of this run diverged."
            )
        return scores

    def neighbours(self, features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosine similarities (N, k), largest first, and indices (N, k) of training images; k = 0
        columns where their features are not there, fewer than k where there are fewer images."""
        k = 0 if self.train is None else min(k, len(self.train))
        if k == 0:
            return np.empty((len(features), 0), np.float32), np.empty((len(features), 0), np.int64)
        similarities, indices = nearest(self._on_device(features), self.train, k)
        return similarities.cpu().numpy(), indices.cpu().numpy()

    @property
    def _sees_images(self) -> bool:
        return "images" in self.chosen.entry.needs

    def _seeing(self, pixels: np.ndarray) -> np.ndarray:
        entry, options = self.chosen.entry, settings_of(self.chosen.entry, self.chosen.evaluation)
        function = entry.load()
        with products("float32"):
            blocks = in_blocks(pixels, self.device, lambda b: function(self.model, b, **options))
        return np.concatenate([b.double().cpu().numpy() for b in blocks]).reshape(len(pixels))

    @torch.no_grad()
    def _of_features(self, features: np.ndarray) -> np.ndarray:
        images = self._on_device(features)
        logits = "logits" in lookup("method", self.files.settings.method).more["offers"]
        outputs = self.model.logits(images) if logits else None
        evidence = Evidence(images, self.train, self.labels, outputs)
        return compute_scores(evidence, self.chosen.evaluation)[self.chosen.column]

    def _calibration_scores(self) -> np.ndarray:
        """Those that the evaluation kept, or, of a score that it did not compute, computed now."""
        files, chosen = self.files, self.chosen
        kept = calibration_scores(files, chosen.column, self.model.sha256)
        if kept is not None:
            return kept
        name = files.calibration.name
        features = kept_features(files.features, name, files.run, self.model.sha256)
        if self._sees_images or features is None:
            raise UserError(
                f"{files.run} has no {chosen.column} of its calibration images {name}: name a "
                f"score that it was evaluated with ({', '.join(files.evaluation.scores)}), or add "
                "this one to evaluation.scores of its study."
            )
        return self._of_features(features)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def load(model: str | Path, score: str | None = None, device: str = "cpu") -> Detector:
    """The detector of a run's folder, results/runs/RUN, or of a bundle.

    score: NAME or NAME@TAU instead of the study's first. Raises UserError for what is neither a run
    nor a bundle, is damaged, or was not evaluated.
    """
    with ExitStack() as stack:  # what is needed of a bundle is in memory when it closes
        files = stack.enter_context(opened_run(Path(model)))
        return Detector(files, choose_score(files, score), torch.device(device))


def _data(image: Any) -> Any:
    """What a decoding takes: bytes or an array."""
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    if isinstance(image, bytes):
        return image
    array = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] != 3)
    ):
        raise Undecodable(
            f"an array of {array.dtype} {array.shape} is no (H, W, 3) or (H, W) uint8"
        )
    return array
