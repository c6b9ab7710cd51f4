"""Convolutions that halve an image again and again, and those that double it (DCGAN)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.methods.adversarial import SMALLEST

STRIDED = {"kernel_size": 4, "stride": 2, "padding": 1}
SLOPE = 0.2  # of a leaky ReLU below 0
MOST = 8  # times the first width


def chosen(views: Tensor, channels: int) -> Tensor:
    """(N, 3, S, S) -> (N, channels, S, S): as they are, or the mean of red, green and blue."""
    return views.mean(1, keepdim=True) if channels == 1 else views


def widths_of(size: int, first: int) -> list[int]:
    """Channels after every halving of `size` pixels to the smallest maps: doubled, to 8 times."""
    halvings = round(math.log2(size / SMALLEST))
    return [first * min(2**i, MOST) for i in range(halvings)]


def halving(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """(N, channels, S, S) -> (N, widths[-1], s, s); batch normalisation in all layers but one."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise([channels, *widths])):
        layers.append(nn.Conv2d(before, after, **STRIDED, bias=i == 0))
        layers += [nn.BatchNorm2d(after)] * (i > 0)
        layers.append(nn.LeakyReLU(SLOPE))
    return nn.Sequential(*layers)


def doubling(widths: Sequence[int], channels: int) -> nn.Sequential:
    """(N, widths[0], s, s) -> (N, channels, S, S), S = s x 2^len(widths); values of any size."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        up = nn.ConvTranspose2d(before, after, **STRIDED, bias=False)
        layers += [up, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, **STRIDED))


def last_maps(backbone: nn.Module, name: str, size: int) -> tuple[int, int]:
    """Channels of the last maps of a timm model called `name`, and how often they halve `size`.

    Raises UserError where they are not the size of a view halved some times.
    """
    backbone.eval()
    with torch.no_grad():
        shape = backbone.forward_features(torch.zeros(1, 3, size, size)).shape
    backbone.train()
    halvings = round(math.log2(size / shape[-1]))
    if len(shape) != 4 or 2**halvings * shape[-1] != size:
        raise UserError(
            f"The backbone {name} has no maps that become views of views.size {size} pixels by "
            "doubling: take a ResNet, and a size that its maps divide."
        )
    return shape[1], halvings


class Encoder(nn.Module):
    """Images to codes."""

    def __init__(self, channels: int, size: int, width: int, latents: int) -> None:
        super().__init__()
        widths = widths_of(size, width)
        self.maps = halving(channels, widths)
        self.codes = nn.Linear(widths[-1] * SMALLEST**2, latents)
        self.channels, self.num_features = channels, latents

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3 or channels, S, S) -> (N, latents)."""
        images = views if views.shape[1] == self.channels else chosen(views, self.channels)
        return self.codes(self.maps(images).flatten(1))


class Decoder(nn.Module):
    """Codes to images."""

    def __init__(self, channels: int, size: int, width: int, latents: int) -> None:
        super().__init__()
        widths = widths_of(size, width)[::-1]
        self.maps = nn.Sequential(
            nn.Linear(latents, widths[0] * SMALLEST**2, bias=False),
            nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.images = doubling(widths, channels)

    def forward(self, codes: Tensor) -> Tensor:
        """(N, latents) -> (N, channels, S, S), float32."""
        return self.images(self.maps(codes)).float()


class Judge(nn.Module):
    """Tells images from images that were made."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        widths = widths_of(size, width)
        self.maps = halving(channels, widths)
        self.logit = nn.Linear(widths[-1] * SMALLEST**2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, S, S) -> logits (N,) of being real, float32."""
        return self.logit(self.maps(images).flatten(1))[:, 0].float()


def absolute_errors(images: Tensor, rebuilt: Tensor) -> Tensor:
    """Mean |x - x'| of each image over its values, (N,); both (N, C, S, S)."""
    return (images - rebuilt).abs().flatten(1).mean(1)
