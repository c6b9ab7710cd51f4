"""UAE as a method of the trainer (Mao et al., MICCAI 2020; tables 5.2 and 7.1).

From the authors' code: grey images of 64 pixels in -1..1, no augmentation, constant rate. Not as
there: the width and the latents, of which their script and class name different defaults, are those
of the config; films are made smaller by antialiased bilinear interpolation on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.uae.loss import errors, uncertain_loss
from ssl_ood.methods.uae.settings import HALVINGS, UaeSettings
from ssl_ood.methods.updates import parameter_groups

STRIDED = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}


class Encoder(nn.Module):
    """Grey images to latents; takes colours and looks at their mean."""

    def __init__(self, settings: UaeSettings) -> None:
        super().__init__()
        network = settings.backbone
        widths, side = _widths(settings)
        layers = [_normalised(nn.Conv2d(a, b, **STRIDED), b) for a, b in pairwise([1, *widths])]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Sequential(
            _normalised(nn.Linear(widths[-1] * side**2, network.hidden), network.hidden),
            nn.Linear(network.hidden, network.latents),
        )
        self.num_features = network.latents

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, latents)."""
        return self.linear(self.convolutions(grey(views)).flatten(1))


class UaeNetwork(nn.Module):
    """An encoder as a backbone, and its mirror image with two outputs for every pixel."""

    def __init__(self, settings: UaeSettings) -> None:
        super().__init__()
        network = settings.backbone
        widths, side = _widths(settings)
        self.backbone = Encoder(settings)
        self.linear = nn.Sequential(
            _normalised(nn.Linear(network.latents, network.hidden), network.hidden),
            nn.Linear(network.hidden, widths[-1] * side**2),
            nn.Unflatten(1, (widths[-1], side, side)),
        )
        growing = [_normalised(nn.ConvTranspose2d(a, b, **STRIDED), b) for a, b in _back(widths)]
        last = nn.ConvTranspose2d(widths[0], 2, **STRIDED)
        self.convolutions = nn.Sequential(*growing, last)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> latents (N, d): what the other scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> mean and log variance of the grey pixels, each (N, 1, S, S), float32."""
        outputs = self.convolutions(self.linear(self.features(views))).float()
        return outputs[:, :1], outputs[:, 1:]


def grey(views: Tensor) -> Tensor:
    """(N, 3, S, S) -> (N, 1, S, S): the mean of red, green and blue."""
    return views.mean(1, keepdim=True)


def _widths(settings: UaeSettings) -> tuple[list[int], int]:
    """Channels after each convolution, and the side of the last maps in pixels."""
    first = settings.backbone.width
    return [first, 2 * first, 4 * first, 4 * first], settings.views.size // 2**HALVINGS


def _back(widths: Sequence[int]) -> Iterable[tuple[int, int]]:
    return pairwise(widths[::-1])


def _normalised(layer: nn.Module, width: int) -> nn.Sequential:
    """A layer, batch normalisation of its outputs and ReLU."""
    norm = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    return nn.Sequential(layer, norm(width), nn.ReLU())


@dataclass(frozen=True)
class Reconstruction(Model):
    """A trained autoencoder."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """Squared errors (N, 2) of each image: over the predicted variance, and as they are."""
        views = self.views(images)
        return torch.stack(errors(grey(views), *self.network(views)), dim=1)


class Uae(OneNetwork):
    """The likelihood of every pixel under the mean and variance that are predicted for it."""

    PARTS = ("error",)
    MODEL = Reconstruction

    @classmethod
    def build(cls, settings: UaeSettings) -> nn.Module:
        return UaeNetwork(settings)

    def make_optimizer(self) -> torch.optim.Optimizer:
        betas = self.settings.training.betas
        return torch.optim.Adam(parameter_groups(self.network), lr=0.0, betas=betas)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `uncertain_loss`; the part is the squared error as it is."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            mean, log_variance = self.network(views)
        _, plain = errors(grey(views), mean.detach(), log_variance.detach())
        return uncertain_loss(grey(views), mean, log_variance), plain.mean()[None]

    def curve(self, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        top = max((line["error"] for line in lines), default=0.0) or 1.0
        return {"name": "squared error", "values": [line["error"] / top for line in lines]}

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  squared error {line['error']:.4f}"
