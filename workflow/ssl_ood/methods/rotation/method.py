"""Rotation prediction as a method of the trainer (section 4.4.2; Gidaris et al., 2018).

All four copies of an image are in one batch, as in the paper. Its four-block network in network is
here whatever backbone the config names.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.one_network import OneNetwork, WithClasses
from ssl_ood.methods.rotation.loss import TURNS, rotation_loss, turned, turns_of
from ssl_ood.methods.rotation.settings import RotationSettings


@dataclass(frozen=True)
class Turner(Model):
    """A network that tells rotations."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """Logits (N, 4, 4) of each image: [i, r] are those of image i turned r times."""
        views = turned(self.views(images))
        return self.network(views).view(TURNS, len(images), TURNS).transpose(0, 1)


class Rotation(OneNetwork):
    """Cross-entropy of the right rotation of every image in its four."""

    PARTS = ("accuracy",)
    MODEL = Turner

    @classmethod
    def build(cls, settings: RotationSettings) -> nn.Module:
        return WithClasses(build_backbone(settings.backbone, settings.views.size), TURNS)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.4; the part is the share of rotations that are told."""
        views = turned(self.views_of(batch, rows, "view", moment.step))
        with self.autocast():
            logits = self.network(views)
        right = (logits.detach().argmax(1) == turns_of(logits)).float().mean()
        return rotation_loss(logits), right[None]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  rotations told {line['accuracy']:.1%}"
