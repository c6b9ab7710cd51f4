"""SwAV as a method of the trainer (named in section 4.5.2; Caron et al., 2020).

Two views, no multi-crop and no queue: assignments are those of a batch, which should hold more
images than there are prototypes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.signs import Sign, StaysAtChance
from ssl_ood.methods.simsiam.method import VIEWS, normalised_mlp
from ssl_ood.methods.swav.loss import swapped_loss
from ssl_ood.methods.swav.settings import SwavSettings


class SwavNetwork(nn.Module):
    """A backbone, a projector to unit vectors, and prototypes of unit length."""

    def __init__(self, settings: SwavSettings) -> None:
        super().__init__()
        head = settings.head
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        self.projector = normalised_mlp(feature_width(self.backbone), head.hidden, head.out)
        self.prototypes = nn.Parameter(torch.empty(head.prototypes, head.out))
        nn.init.kaiming_uniform_(self.prototypes, a=5**0.5)  # as nn.Linear does

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> cosines with the prototypes (N, K), float32."""
        vectors = F.normalize(self.projector(self.features(views)).float(), dim=1)
        with torch.autocast(vectors.device.type, enabled=False):
            return vectors @ F.normalize(self.prototypes, dim=1).T


class Swav(OneNetwork):
    """Each view predicts the assignment of the other."""

    PARTS = ("used",)

    @classmethod
    def build(cls, settings: SwavSettings) -> nn.Module:
        return SwavNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `swapped_loss`; the part is the share of the prototypes that a view is nearest to."""
        training = self.settings.training
        views = [self.views_of(batch, rows, name, moment.step) for name in VIEWS]
        with self.autocast():
            scores = [self.network(view) for view in views]
        nearest = torch.cat(scores).detach().argmax(1)
        used = torch.zeros_like(scores[0][0]).index_fill(0, nearest, 1.0).mean()
        sinkhorn = training.epsilon, training.rounds
        return swapped_loss(*scores, training.temperature, sinkhorn), used[None]

    def before_update(self, moment: Moment) -> None:
        if moment.epoch < self.settings.training.freeze_prototypes_epochs:
            self.network.prototypes.grad = None

    def signs(self) -> list[Sign]:
        return [
            StaysAtChance(
                "loss",
                math.log(self.settings.head.prototypes),
                "assignments are predicted no better than by chance",
                "assignments are predicted less and less",
                "Lower training.lr_base, raise training.warmup_epochs, or lower head.prototypes.",
            )
        ]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  prototypes in use {line['used']:.1%}"
