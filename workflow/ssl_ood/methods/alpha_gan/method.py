"""Alpha-GAN as a method of the trainer: Deep AD of tables 5.2 and 7.1 (Nakao et al., 2021).

Of that paper only the abstract could be read: that it is an alpha-GAN, trained on normal films. The
losses are from memory of Rosca et al. (2017); encoder and generator share one update, and so do the
two discriminators. Sizes, weights and rates are ours. The score is the mean absolute error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.alpha_gan.loss import coder_loss, judges_loss
from ssl_ood.methods.alpha_gan.settings import AlphaGanSettings
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.maps import SLOPE, Decoder, Encoder, Judge, absolute_errors, chosen
from ssl_ood.methods.turns import Adversarial, Autoencoded
from ssl_ood.views.transfer import to_device


class AlphaGanNetwork(nn.Module):
    """An encoder as a backbone, a generator, and a discriminator each of images and of codes."""

    def __init__(self, settings: AlphaGanSettings) -> None:
        super().__init__()
        coder, hidden = settings.backbone, settings.head.hidden
        sizes = settings.views.channels, settings.views.size, coder.width
        self.backbone = Encoder(*sizes, coder.latents)
        self.generator = Decoder(*sizes, coder.latents)
        of_codes = nn.Sequential(
            nn.Linear(coder.latents, hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, 1),
            nn.Flatten(0),
        )
        self.opponents = nn.ModuleDict({"images": Judge(*sizes), "codes": of_codes})

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> codes (N, d): what the other scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> codes (N, d) and reconstructed images (N, channels, S, S), float32."""
        codes = self.features(views)
        return codes.float(), self.generator(codes)


class AlphaGan(Adversarial):
    """Encoder and generator, then their two discriminators."""

    MODEL = Autoencoded

    @classmethod
    def build(cls, settings: AlphaGanSettings) -> nn.Module:
        return AlphaGanNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `coder_loss`."""
        views = self.views_of(batch, rows, "view", moment.step)
        images = chosen(views, self.settings.views.channels)
        with self.autocast(), self.judged() as opponents:
            codes, rebuilt = self.network(views)
            drawn = self.network.generator(self.prior(batch, rows, moment.step))
            judged = [opponents["images"](x) for x in (rebuilt, drawn)]
            judged.append(opponents["codes"](codes).float())
        error = absolute_errors(images, rebuilt).mean()
        weight = self.settings.training.reconstruction_weight
        return coder_loss(error, judged, weight), error.detach()[None]

    def loss_of_opponents(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `judges_loss`."""
        views = self.views_of(batch, rows, "view", moment.step)
        images = chosen(views, self.settings.views.channels)
        prior = self.prior(batch, rows, moment.step)
        with self.autocast():
            with torch.no_grad():
                codes, rebuilt = self.network(views)
                drawn = self.network.generator(prior)
            opponents = self.network.opponents
            of_images = [opponents["images"](x) for x in (images, rebuilt, drawn)]
            of_codes = [opponents["codes"](z).float() for z in (prior, codes)]
        return judges_loss(of_images, of_codes), views.new_empty(0)

    def prior(self, batch: Batch, rows: slice, step: int) -> Tensor:
        """Codes (len(rows), d) from a normal distribution, the same in both turns of a step."""
        shape = len(batch), self.settings.backbone.latents
        drawn = stream(self.settings.seed, "prior", step).standard_normal(shape, dtype="float32")
        return to_device(drawn[rows], self.device)
