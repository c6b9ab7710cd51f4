"""SimSiam as a method of the trainer (section 4.5.2; Chen and He, 2021).

As the paper has it for CIFAR-10: a projector of two layers, whose output is normalised too, and a
predictor that is narrow in the middle; every view is normalised by statistics of its own. The rate
of the predictor falls as that of the rest does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.signs import Sign, StaysAtChance
from ssl_ood.methods.simsiam.loss import alike, symmetric
from ssl_ood.methods.simsiam.settings import SimsiamSettings

VIEWS = ("one", "other")


def normalised_mlp(features: int, hidden: int, out: int, *, last: bool = False) -> nn.Sequential:
    """Two linear layers, batch normalisation and ReLU between.

    last: whether the output is batch-normalised too, without scale and shift.
    """
    layers = [nn.Linear(features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
    layers.append(nn.Linear(hidden, out, bias=not last))
    return nn.Sequential(*layers, *[nn.BatchNorm1d(out, affine=False)] * last)


class PredictingNetwork(nn.Module):
    """A backbone, a projector and a predictor."""

    LAST_NORM = True  # of the projector

    def __init__(self, settings: SimsiamSettings) -> None:
        super().__init__()
        head = settings.head
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        width = feature_width(self.backbone)
        self.projector = normalised_mlp(width, head.hidden, head.out, last=self.LAST_NORM)
        self.predictor = normalised_mlp(head.out, head.predictor, head.out)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def project(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> projections (N, out)."""
        return self.projector(self.features(views))


def collapse_signs() -> list[Sign]:
    """That all images get the same output; the loss alone cannot tell, since it is best then."""
    return [
        StaysAtChance(
            "alike",
            1.0,
            "all images get the same output",
            "the outputs of different images grow alike",
            "Lower training.lr_base, or raise training.warmup_epochs.",
        )
    ]


class Simsiam(OneNetwork):
    """One network sees both views; each predicts the other."""

    PARTS = ("alike",)

    @classmethod
    def build(cls, settings: SimsiamSettings) -> nn.Module:
        return PredictingNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """-1/2 cos(p1, z2) - 1/2 cos(p2, z1); the part tells how alike the projections are."""
        views = [self.views_of(batch, rows, name, moment.step) for name in VIEWS]
        with self.autocast():
            projected = [self.network.project(view) for view in views]
            predicted = [self.network.predictor(z) for z in projected]
        return symmetric(predicted, projected), alike(torch.cat(projected))[None]

    def signs(self) -> list[Sign]:
        return collapse_signs()

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  likeness of all outputs {line['alike']:.3f}"
