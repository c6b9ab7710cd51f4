"""CAVGA-Ru as a method of the trainer (table 7.2; Venkataramanan et al., 2020).

From memory of the paper, and of the weights 1, 1 and 0.01 of its losses. Where memory ends, ours:
the parts of the bound are means for each pixel value, the attention is made a share by a sigmoid,
the decoder has transposed convolutions, and nothing is pretrained. The scores are the mean absolute
error and the attention that is lacking.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.cavga.loss import attention, bound_loss, lacking
from ssl_ood.methods.cavga.settings import CavgaSettings
from ssl_ood.methods.maps import Judge, absolute_errors, doubling, last_maps
from ssl_ood.methods.turns import Adversarial, Autoencoded, taken_for_real, told_apart
from ssl_ood.views.transfer import to_device

COLOURS = 3


class CavgaNetwork(nn.Module):
    """A backbone, latent maps with mean and variance, a decoder and a discriminator."""

    def __init__(self, settings: CavgaSettings) -> None:
        super().__init__()
        size, head = settings.views.size, settings.head
        self.backbone = build_backbone(settings.backbone, size)
        channels, halvings = last_maps(self.backbone, settings.backbone.name, size)
        self.mean = nn.Conv2d(channels, head.latents, 1)
        self.log_variance = nn.Conv2d(channels, head.latents, 1)
        widths = [head.width * 2**i for i in range(halvings - 1)][::-1]
        self.decoder = doubling([head.latents, *widths], COLOURS)
        self.opponents = Judge(COLOURS, size, head.width)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the other scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> means of the latents (N, d, h, w), images (N, 3, S, S) made of them."""
        means = self.mean(self.backbone.forward_features(views))
        return means.float(), self.decoder(means).float()

    def attention(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, h, w) in 0..1, see `cavga.loss.attention`."""
        return attention(
            self.backbone.forward_features(views).float(), self.mean.weight[:, :, 0, 0]
        )


@dataclass(frozen=True)
class Attentive(Autoencoded):
    """A trained CAVGA."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, 1): of `attention` what it lacks, of `autoencoding` the error of the images."""
        if name != "attention":
            return super().embed(name, images)
        return 1 - self.network.attention(self.views(images)).flatten(1).mean(1, keepdim=True)


class Cavga(Adversarial):
    """Autoencoder, then discriminator."""

    PARTS = ("error", "lacking_attention", "opponents")
    MODEL = Attentive

    @classmethod
    def build(cls, settings: CavgaSettings) -> nn.Module:
        return CavgaNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """The bound, what the opponent says, and the attention that is lacking."""
        views, network = self.views_of(batch, rows, "view", moment.step), self.network
        training = self.settings.training
        with self.autocast(), self.judged() as opponent:
            maps = network.backbone.forward_features(views)
            mean, log_variance, rebuilt = self.drawn(maps, batch, rows, moment.step)
            judged = opponent(rebuilt)
        lack = lacking(attention(maps.float(), network.mean.weight[:, :, 0, 0]))
        loss = (
            bound_loss(views, rebuilt, mean, log_variance)
            + training.adversarial_weight * taken_for_real(judged)
            + training.attention_weight * lack
        )
        error = absolute_errors(views, rebuilt).mean()
        return loss, torch.stack([error, lack]).detach()

    def loss_of_opponents(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `told_apart`: images, and what the decoder makes of their latents."""
        views, network = self.views_of(batch, rows, "view", moment.step), self.network
        with self.autocast():
            with torch.no_grad():
                maps = network.backbone.forward_features(views)
                _, _, rebuilt = self.drawn(maps, batch, rows, moment.step)
            loss = told_apart(network.opponents(views), [network.opponents(rebuilt)])
        return loss, views.new_empty(0)

    def drawn(
        self, maps: Tensor, batch: Batch, rows: slice, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log variance of the latents, and images of latents drawn from them.

        The noise is the same in both turns of a step.
        """
        mean, log_variance = (
            convolution(maps).float()
            for convolution in (self.network.mean, self.network.log_variance)
        )
        rng = stream(self.settings.seed, "latents", step)
        noise = rng.standard_normal((len(batch), *mean.shape[1:]), dtype="float32")[rows]
        latents = mean + (log_variance / 2).exp() * to_device(noise, self.device)
        return mean, log_variance, self.network.decoder(latents).float()
