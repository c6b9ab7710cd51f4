"""Fine-tuning a classifier of normal against abnormal as a method of the trainer (section 5.4 of
the paper of chapter 5): how many labels a pre-trained encoder saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.finetune.settings import FinetuneSettings
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.settings import RunSettings


class Classifier(nn.Module):
    """A backbone and one linear layer to the logit of "abnormal"."""

    def __init__(self, settings: FinetuneSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        self.head = nn.Linear(feature_width(self.backbone), 1)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1): the logit is all that the score `logit` uses."""
        return self.head(self.backbone(views))

    forward = features


@dataclass(frozen=True)
class Trained(Model):
    """A classifier: its features are its logits."""

    def logits(self, features: Tensor) -> Tensor:
        """(N, 1) -> (N, 1)."""
        return features


class Finetune(OneNetwork):
    """All weights are trained, with binary cross-entropy."""

    KEY = "classifier"
    PARTS = ("accuracy",)
    MODEL = Trained
    uses_labels = True
    keeps_rest = True  # of a hundred labels, a batch of 64 would leave out a third

    @classmethod
    def build(cls, settings: FinetuneSettings) -> Classifier:
        return Classifier(settings)

    @classmethod
    def targets_of(cls, labels: np.ndarray, settings: RunSettings) -> np.ndarray:
        if not np.isin(labels, (0, 1)).all():
            raise UserError(
                f"{settings.run}: {settings.in_distribution}/{settings.train_split} has labels "
                "beside 0 (normal) and 1 (abnormal): a classifier of the two cannot be trained on "
                "it."
            )
        return labels

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy; the part is the share of right decisions."""
        views = self.views_of(batch, rows, "labelled", moment.step)
        with self.autocast():
            logits = self.network(views)[:, 0].float()
        labels = batch.labels[rows].float()
        right = ((logits.detach() > 0) == (labels > 0)).float().mean()
        return F.binary_cross_entropy_with_logits(logits, labels), right[None]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  accuracy {line['accuracy']:.1%}"

    def probed(self) -> None:
        """Nothing: its feature is one number, the logit, and its accuracy is in the log."""
