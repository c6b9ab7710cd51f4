"""SimCLR as a method of the trainer (section 4.5; Chen et al., 2020), with the settings of SSD.

SSD (Sehwag et al., 2021) trains a ResNet-50 with a stem for small images this way and scores by the
Mahalanobis distance of its pooled features (score `ssd`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.moco.method import Encoder
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.simclr.loss import mutual_information, nt_xent, partners
from ssl_ood.methods.simclr.settings import SimclrSettings


class Simclr(OneNetwork):
    """NT-Xent over two views of every image of a batch."""

    PARTS = ("contrast_accuracy",)

    @classmethod
    def build(cls, settings: SimclrSettings) -> nn.Module:
        return Encoder(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.10; the part is the share of views nearest to the other one of their image."""
        views = [self.views_of(batch, rows, name, moment.step) for name in ("one", "other")]
        with self.autocast():
            one, other = self.network(torch.cat(views)).chunk(2)
        loss = nt_xent(one, other, self.settings.training.temperature)
        with torch.no_grad():
            vectors = torch.cat([one, other])
            cosines = (vectors @ vectors.T).fill_diagonal_(-2)
            nearest = (cosines.argmax(1) == partners(cosines)).float().mean()
        return loss, nearest[None]

    def describe(self, line: dict[str, float]) -> str:
        bound = mutual_information(line["loss"], self.settings.training.batch_size)
        return (
            f"loss {line['loss']:.4f}  own image nearest {line['contrast_accuracy']:.1%}  mutual "
            f"information at least {bound:.2f} nats"
        )
