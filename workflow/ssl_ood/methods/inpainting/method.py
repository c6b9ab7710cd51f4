"""Inpainting as a method of the trainer (section 4.3.1, equation 4.1; Pathak et al., 2016).

The channel-wise fully connected layer between encoder and decoder is as in figure 4.2. The loss of
the paper has an adversarial part, 0.001 of it, which the equation of the thesis has not: its
opponent is shown whole images, and those whose hole was filled in the first turn of the same step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.inpainting.loss import inpainting_loss
from ssl_ood.methods.inpainting.settings import InpaintingSettings
from ssl_ood.methods.maps import Judge, last_maps
from ssl_ood.methods.sgd import make_sgd
from ssl_ood.methods.turns import Adversarial, taken_for_real, told_apart
from ssl_ood.views.transfer import to_device


class ChannelWise(nn.Module):
    """A fully connected layer over the places of each channel: every place sees all others."""

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, places, places))
        nn.init.normal_(self.weight, std=places**-0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        return torch.einsum("ncp,cpq->ncq", maps.flatten(2), self.weight).view_as(maps)


class InpaintingNetwork(nn.Module):
    """A backbone as an encoder, a decoder from its last maps to pixels, and an opponent."""

    def __init__(self, settings: InpaintingSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        size = settings.views.size
        channels, halvings = last_maps(self.backbone, settings.backbone.name, size)
        side = size // 2**halvings
        widths = [settings.head.width * 2**i for i in range(halvings)][::-1]
        layers: list[nn.Module] = [ChannelWise(channels, side**2)]
        for width in widths:
            up = nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.decoder = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))
        self.opponents = Judge(3, size, settings.head.width)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) views with a hole -> (N, 3, S, S) filled."""
        return self.decoder(self.backbone.forward_features(views))


class Inpainting(Adversarial):
    """The squared error in the hole, and whether the opponent takes what fills it for real."""

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        return make_sgd(network, self.settings.training)

    @classmethod
    def build(cls, settings: InpaintingSettings) -> nn.Module:
        return InpaintingNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.1 and the opponent; dropped pixels have the mean of all images."""
        views = self.views_of(batch, rows, "view", moment.step)
        hole = self.holes(len(views), moment.step)
        with self.autocast(), self.judged() as opponent:
            filled = self.network((1 - hole) * views)
            completed = torch.where(hole > 0, filled.float(), views)
            judged = opponent(completed)
        self.completed = completed.detach()
        error, share = (
            inpainting_loss(views, filled, hole),
            self.settings.training.adversarial_weight,
        )
        return (1 - share) * error + share * taken_for_real(judged), error.detach()[None]

    def loss_of_opponents(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `told_apart`: whole images, and those that the first turn completed."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            real, made = (self.network.opponents(x) for x in (views, self.completed))
        return told_apart(real, [made]), views.new_empty(0)

    def holes(self, count: int, step: int) -> Tensor:
        """Masks (count, 1, S, S), 1 in the hole."""
        settings = self.settings.views
        free = settings.size - settings.hole
        corners = stream(self.settings.seed, "holes", step).integers(0, free + 1, (count, 2))
        if settings.place == "centre":
            corners[:] = free // 2
        places = torch.arange(settings.size, device=self.device)
        first = to_device(corners, self.device)[:, :, None]
        down, right = ((places >= first) & (places < first + settings.hole)).float().unbind(1)
        return (down[:, :, None] * right[:, None])[:, None]
