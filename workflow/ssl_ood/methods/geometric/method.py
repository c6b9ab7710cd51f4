"""Rotation prediction beside supervised classification (Hendrycks et al., 2019; table 6.1).

The multi-class setting of that paper's code: cross-entropy of the class of the upright image and of
the rotation of all four copies. Its translations have weight 0 there and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.geometric.settings import GeometricSettings
from ssl_ood.methods.one_network import OneNetwork, WithClasses
from ssl_ood.methods.rotation.loss import TURNS, rotation_loss, turned
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.supervised.method import Classifier, class_ranks


class GeometricNetwork(WithClasses):
    """A backbone with two linear layers: to the classes and to the rotations."""

    def __init__(self, settings: GeometricSettings) -> None:
        super().__init__(
            build_backbone(settings.backbone, settings.views.size), settings.head.classes
        )
        self.shift = nn.Linear(feature_width(self.backbone), TURNS)
        drop_in_blocks(self.backbone, settings.training.dropout)


def drop_in_blocks(backbone: nn.Module, share: float) -> None:
    """Dropout before the second convolution of every pre-activated block, as wide ResNets have."""
    for module in backbone.modules():
        if share and hasattr(module, "conv2") and hasattr(module, "norm2"):
            module.norm2 = nn.Sequential(module.norm2, nn.Dropout(share))


@dataclass(frozen=True)
class Turner(Classifier):
    """A classifier that tells rotations, too."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """Logits (N, 4, 4) of each image: [i, r] are those of image i turned r times."""
        features = self.network.features(turned(self.views(images)))
        logits = self.network.shift(features).float()
        return logits.view(TURNS, len(images), TURNS).transpose(0, 1)


class Geometric(OneNetwork):
    """Cross-entropy of the class and of the rotations."""

    PARTS = ("classes", "rotations", "accuracy")
    MODEL = Turner
    uses_labels = True

    @classmethod
    def build(cls, settings: GeometricSettings) -> nn.Module:
        return GeometricNetwork(settings)

    @classmethod
    def targets_of(cls, labels: np.ndarray, settings: RunSettings) -> np.ndarray:
        return class_ranks(labels, settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Both losses; the last part is the share of right classes."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            features = self.network.features(turned(views))
            classes = self.network.head(features[: len(views)]).float()
            rotations = rotation_loss(self.network.shift(features).float())
        labels = batch.labels[rows]
        of_class = F.cross_entropy(classes, labels)
        accuracy = (classes.detach().argmax(1) == labels).float().mean()
        parts = torch.stack([of_class.detach(), rotations.detach(), accuracy])
        return of_class + self.settings.training.rotation_weight * rotations, parts

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (classes {line['classes']:.4f}, rotations "
            f"{line['rotations']:.4f})  accuracy {line['accuracy']:.1%}"
        )
