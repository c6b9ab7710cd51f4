"""Supervised classification as a method of the trainer (sections 2.2.1 and 2.2.2).

The baseline of Hendrycks and Gimpel (2017, maximum softmax probability) and of Lee et al. (2018,
class-conditional Mahalanobis distance, here without input pre-processing and of the last layer's
features alone). It uses labels, which label-free methods do without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.one_network import OneNetwork, WithClasses
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.supervised.settings import SupervisedSettings


@dataclass(frozen=True)
class Classifier(Model):
    """A trained classifier."""

    def logits(self, features: Tensor) -> Tensor:
        """(N, d) -> (N, K), float32."""
        return self.network.head(features).float()


def class_ranks(labels: np.ndarray, settings: RunSettings) -> np.ndarray:
    """The rank of each label among those that occur, (N,) int64 in 0..K-1.

    Raises UserError where images have no label, or their classes are not `head.classes`.
    """
    own = f"{settings.run}: {settings.in_distribution}/{settings.train_split}"
    if np.min(labels) < 0:
        raise UserError(
            f"{own} has images without a label, so that method {settings.method} cannot be "
            "trained on it: take a dataset with labels."
        )
    classes, ranks = np.unique(labels, return_inverse=True)
    if len(classes) != settings.head.classes:
        raise UserError(
            f"{own} has {len(classes)} classes, head.classes says {settings.head.classes}: set "
            f"head.classes to {len(classes)} in the override of the dataset."
        )
    return ranks.astype(np.int64)


class Supervised(OneNetwork):
    """Cross-entropy over the classes of the in-distribution set."""

    PARTS = ("accuracy",)
    MODEL = Classifier
    uses_labels = True

    @classmethod
    def build(cls, settings: SupervisedSettings) -> nn.Module:
        return WithClasses(
            build_backbone(settings.backbone, settings.views.size), settings.head.classes
        )

    @classmethod
    def targets_of(cls, labels: np.ndarray, settings: RunSettings) -> np.ndarray:
        return class_ranks(labels, settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Cross-entropy; the part is the share of right classes."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            logits = self.network(views)
        labels = batch.labels[rows]
        right = (logits.detach().argmax(1) == labels).float().mean()
        return F.cross_entropy(logits, labels), right[None]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  accuracy {line['accuracy']:.1%}"
