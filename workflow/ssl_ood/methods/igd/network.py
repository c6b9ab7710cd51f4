"""The networks of IGD: an encoder, a decoder of residual blocks, and a critic of images."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.igd.settings import SIDE, IgdSettings

WIDEST = 8  # times the width of the settings


class Doubling(nn.Module):
    """A residual block whose maps have twice the side: batch normalisation, ReLU, convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 1))
        self.body = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.body(maps)


class Halving(nn.Module):
    """A residual block whose maps have half the side, each image normalised by itself."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1))
        self.body = nn.Sequential(
            nn.GroupNorm(1, before),
            nn.ReLU(),
            nn.Conv2d(before, before, 3, padding=1, bias=False),
            nn.GroupNorm(1, before),
            nn.ReLU(),
            nn.Conv2d(before, after, 3, padding=1),
            nn.AvgPool2d(2),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.shortcut(maps) + self.body(maps)


def decoder(latents: int, width: int, doublings: int) -> nn.Sequential:
    """(N, latents) -> images (N, 3, S, S) of side 4 x 2^doublings."""
    widths = [width * min(WIDEST, 2**i) for i in range(doublings - 1)][::-1]
    first = widths[0]
    blocks = [Doubling(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(
        nn.Linear(latents, first * SIDE**2),
        nn.Unflatten(1, (first, SIDE, SIDE)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(first, first, 3, padding=1),
        *blocks,
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(widths[-1], 3, 5, padding=2),
    )


def critic(width: int, halvings: int) -> nn.Sequential:
    """Images (N, 3, S, S) -> one number each, (N,)."""
    widths = [width * min(WIDEST, 2**i) for i in range(halvings - 1)]
    last = widths[-1]
    return nn.Sequential(
        nn.Conv2d(3, width, 5, stride=2, padding=2),
        *(Halving(a, b) for a, b in pairwise(widths)),
        nn.Conv2d(last, last, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(last * SIDE**2, 1),
        nn.Flatten(0),
    )


class IgdNetwork(nn.Module):
    """Encoder, decoder and critic, with the centre and the width of the latents."""

    centre: Tensor
    width: Tensor

    def __init__(self, settings: IgdSettings) -> None:
        super().__init__()
        head = settings.head
        self.frozen = settings.backbone.frozen
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        self.backbone.requires_grad_(not self.frozen)
        self.latents = nn.Linear(feature_width(self.backbone), head.latents)
        self.decoder = decoder(head.latents, head.width, settings.doublings)
        self.critic = critic(head.width, settings.doublings)
        self.register_buffer("centre", torch.zeros(head.latents))
        self.register_buffer("width", torch.ones(()))
        self.train()

    def train(self, mode: bool = True) -> IgdNetwork:
        """A frozen encoder keeps its batch statistics too."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> latents (N, d)."""
        return self.latents(self.backbone(views))

    def images(self, latents: Tensor) -> Tensor:
        """(N, d) -> (N, 3, S, S), float32."""
        return self.decoder(latents).float()
