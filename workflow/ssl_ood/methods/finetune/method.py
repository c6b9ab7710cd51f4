"""Fine-tuning a classifier of normal against abnormal as a method of the trainer (section 5.4 of
the paper of chapter 5): how many labels a pre-trained encoder saves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone, feature_width, load_backbone
from ssl_ood.methods.base import Batch, Method, Model, Moment
from ssl_ood.methods.finetune.settings import FinetuneSettings
from ssl_ood.methods.settings import RunSettings
from ssl_ood.views.render import draw, render
from ssl_ood.views.spec import ViewSpec


class Classifier(nn.Module):
    """A backbone and one linear layer to the logit of "abnormal"."""

    def __init__(self, settings: FinetuneSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone)
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


class Finetune(Method):
    """All weights are trained, with binary cross-entropy."""

    PARTS = ("accuracy",)
    uses_labels = True
    keeps_rest = True  # of a hundred labels, a batch of 64 would leave out a third

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device)
        self.classifier = self.trained = self.build(settings.options)
        if initial is not None:
            load_backbone(self.classifier.backbone, initial)
        self.classifier.to(device)
        groups = [{"params": list(self.classifier.parameters()), "decay": True}]
        momentum = settings.training.sgd_momentum
        self.optimizer = torch.optim.SGD(groups, lr=0.0, momentum=momentum)

    @classmethod
    def build(cls, settings: FinetuneSettings) -> Classifier:
        return Classifier(settings)

    @classmethod
    def load(cls, settings: RunSettings, weights: Path, device: torch.device) -> Trained:
        return Trained(**vars(super().load(settings, weights, device)))

    @classmethod
    def example_views(cls, settings: RunSettings) -> list[tuple[str, ViewSpec, str, str]]:
        return [(f"View {i}", settings.views.spec, f"view{i}", "images") for i in (1, 2, 3, 4)]

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        return rows  # batch normalisation sees the whole batch

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy; the part is the share of right decisions."""
        images, spec = batch.images, self.settings.views.spec
        rng = stream(self.settings.seed, "views", "labelled", moment.step)
        parameters = draw(spec, len(images), *images.shape[1:3], rng)
        views = render(images[rows], parameters.rows(rows), spec)
        with self.autocast():
            logits = self.classifier(views)[:, 0].float()
        labels = batch.labels[rows].float()
        right = ((logits.detach() > 0) == (labels > 0)).float().mean()
        return F.binary_cross_entropy_with_logits(logits, labels), right[None]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  accuracy {line['accuracy']:.1%}"

    def result(self) -> dict[str, Any]:
        return {"classifier": self.classifier.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.classifier.load_state_dict(state["classifier"])

    def model_state(self) -> dict[str, Tensor]:
        return self.classifier.state_dict()
