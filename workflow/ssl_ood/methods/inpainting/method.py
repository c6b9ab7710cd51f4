"""Inpainting as a method of the trainer (section 4.3.1, equation 4.1; Pathak et al., 2016).

Without the adversarial part of the paper's loss, which the thesis does not have in its equation
either. The channel-wise fully connected layer between encoder and decoder is as in figure 4.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.inpainting.loss import inpainting_loss
from ssl_ood.methods.inpainting.settings import InpaintingSettings
from ssl_ood.methods.one_network import OneNetwork
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
    """A backbone as an encoder, and a decoder from its last maps to pixels."""

    def __init__(self, settings: InpaintingSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        channels, side = self._maps(settings)
        halvings = round(math.log2(settings.views.size / side))
        widths = [settings.head.width * 2**i for i in range(halvings)][::-1]
        layers: list[nn.Module] = [ChannelWise(channels, side**2)]
        for width in widths:
            up = nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.decoder = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def _maps(self, settings: InpaintingSettings) -> tuple[int, int]:
        """Channels and side of the last maps. Raises UserError where they are not the size of a
        view halved some times."""
        size = settings.views.size
        self.backbone.eval()
        with torch.no_grad():
            shape = self.backbone.forward_features(torch.zeros(1, 3, size, size)).shape
        self.backbone.train()
        if len(shape) != 4 or 2 ** round(math.log2(size / shape[-1])) * shape[-1] != size:
            raise UserError(
                f"The backbone {settings.backbone.name} has no maps that become views of "
                f"views.size {size} pixels by doubling: take a ResNet, and a size that its maps "
                "divide."
            )
        return shape[1], shape[-1]

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) views with a hole -> (N, 3, S, S) filled."""
        return self.decoder(self.backbone.forward_features(views))


class Inpainting(OneNetwork):
    """The squared error in the hole."""

    @classmethod
    def build(cls, settings: InpaintingSettings) -> nn.Module:
        return InpaintingNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.1; dropped pixels have the mean of all images."""
        views = self.views_of(batch, rows, "view", moment.step)
        hole = self.holes(len(views), moment.step)
        with self.autocast():
            filled = self.network((1 - hole) * views)
        return inpainting_loss(views, filled, hole), views.new_empty(0)

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
