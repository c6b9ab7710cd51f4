"""GAN one-class as a method of the trainer (table 5.2; Tang et al., 2019).

Of the paper only the abstract could be read: three networks that compete and collaborate, trained
on normal films; what is not normal is reconstructed poorly. That the third is a second encoder is
from memory; its losses are those that such networks have elsewhere (GANomaly, 2018), without skips
between encoder and decoder, and sizes, weights and rates are ours. So it is no reproduction; and
the paper's 0.841 is of NIH ChestX-ray, not of RSNA.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.maps import Decoder, Encoder, Judge, absolute_errors, chosen
from ssl_ood.methods.one_class_gan.loss import autoencoder_loss, code_errors
from ssl_ood.methods.one_class_gan.settings import OneClassGanSettings
from ssl_ood.methods.turns import Adversarial, Autoencoded, told_apart


class OneClassGanNetwork(nn.Module):
    """An encoder as a backbone, a decoder, an encoder of what it makes, and a discriminator."""

    def __init__(self, settings: OneClassGanSettings) -> None:
        super().__init__()
        coder = settings.backbone
        sizes = settings.views.channels, settings.views.size, coder.width
        self.backbone = Encoder(*sizes, coder.latents)
        self.decoder = Decoder(*sizes, coder.latents)
        self.again = Encoder(*sizes, coder.latents)
        self.opponents = Judge(*sizes)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> codes (N, d): what the other scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> codes (N, d) and reconstructed images (N, channels, S, S), float32."""
        codes = self.features(views)
        return codes.float(), self.decoder(codes)


@dataclass(frozen=True)
class Recoded(Autoencoded):
    """A trained autoencoder with a second encoder."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, 1): of `recoding` the difference of the codes, of `autoencoding` that of images."""
        if name != "recoding":
            return super().embed(name, images)
        codes, rebuilt = self.network(self.views(images))
        return code_errors(codes, self.network.again(rebuilt).float())[:, None]


class OneClassGan(Adversarial):
    """Autoencoder and second encoder, then the discriminator."""

    MODEL = Recoded

    @classmethod
    def build(cls, settings: OneClassGanSettings) -> nn.Module:
        return OneClassGanNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `autoencoder_loss`."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast(), self.judged() as opponent:
            codes, rebuilt = self.network(views)
            again = self.network.again(rebuilt).float()
            judged = opponent(rebuilt)
        error = absolute_errors(chosen(views, rebuilt.shape[1]), rebuilt).mean()
        training = self.settings.training
        weights = training.reconstruction_weight, training.code_weight
        return autoencoder_loss(error, codes, again, judged, weights), error.detach()[None]

    def loss_of_opponents(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `told_apart`: images, and what the autoencoder makes of them."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            with torch.no_grad():
                rebuilt = self.network(views)[1]
            opponent = self.network.opponents
            real = opponent(chosen(views, rebuilt.shape[1]))
            return told_apart(real, [opponent(rebuilt)]), views.new_empty(0)
