"""CSI as a method of the trainer (Tack et al., 2020; table 6.1).

What differs from the authors' code: every view of an image is augmented and then turned, where
theirs turns first (crops and colours have the same law either way); batch statistics are of the
whole batch, where theirs are of each of four GPUs; the crops that the score sees are the same for
all images, drawn from the run's seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import feature_width
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.csi.settings import CsiSettings
from ssl_ood.methods.moco.method import Encoder
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.rotation.loss import TURNS, turns_of
from ssl_ood.methods.simclr.loss import nt_xent
from ssl_ood.methods.updates import scale_by_trust
from ssl_ood.views.render import draw, render


class CsiNetwork(Encoder):
    """An encoder, its projection, and a linear layer that tells rotations from the features."""

    def __init__(self, settings: CsiSettings) -> None:
        super().__init__(settings)
        self.shift = nn.Linear(feature_width(self.backbone), TURNS)

    def outputs(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> projections (N, out), not of unit length, and logits (N, 4), float32."""
        features = self.features(views)
        return self.head(features).float(), self.shift(features).float()


@dataclass(frozen=True)
class Shifted(Model):
    """A trained network of CSI."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, 4, out + 4): for each rotation the mean projection and the mean logits of crops."""
        spec, settings = self.settings.views.scored, self.settings
        count = settings.views.crops
        total: Tensor | float = 0.0
        for crop in range(count):
            turns = []
            for turn in range(TURNS):
                rng = stream(settings.seed, "csi_crops", crop, turn)
                one = draw(spec, 1, *images.shape[1:3], rng)
                views = render(images, one.rows([0] * len(images)), spec)
                outputs = self.network.outputs(torch.rot90(views, turn, (2, 3)))
                turns.append(torch.cat(outputs, dim=1))
            total = total + torch.stack(turns, dim=1)
        return total / count


class Csi(OneNetwork):
    """NT-Xent over two views of all rotations, and cross-entropy of the rotation."""

    PARTS = ("contrastive", "shift", "accuracy")
    MODEL = Shifted

    @classmethod
    def build(cls, settings: CsiSettings) -> nn.Module:
        return CsiNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Both losses of 8 views per image; a turned copy is another image (equation 3 and 5 of the
        paper)."""
        views = [
            torch.rot90(self.views_of(batch, rows, f"{name}{turn}", moment.step), turn, (2, 3))
            for name in ("one", "other")
            for turn in range(TURNS)
        ]
        with self.autocast():
            projected, logits = self.network.outputs(torch.cat(views))
        training = self.settings.training
        one, other = F.normalize(projected, dim=1).chunk(2)
        contrastive = nt_xent(one, other, training.temperature)
        right = turns_of(logits[: len(logits) // 2]).repeat(2)
        shift = F.cross_entropy(logits, right)
        accuracy = (logits.detach().argmax(1) == right).float().mean()
        parts = torch.stack([contrastive.detach(), shift.detach(), accuracy])
        return contrastive + training.shift_weight * shift, parts

    def before_update(self, moment: Moment) -> None:
        scale_by_trust(self.optimizer.param_groups, self.settings.training.lars)

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (contrastive {line['contrastive']:.4f}, rotation "
            f"{line['shift']:.4f})  rotations told {line['accuracy']:.1%}"
        )
