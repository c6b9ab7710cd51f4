"""Glow as a method of the trainer: likelihoods of images (table 1.1, figure 2.14, equation 2.1).

The architecture of Kingma and Dhariwal (2018) at the sizes of Nalisnick et al. (2019). What is not
told there is as in the former: couplings with a sigmoid of the raw scale plus 2, and split priors.
The noise that dequantises an image is drawn anew in every step of a training and, so that a score
is a function of its image, once for all images in evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.glow.flow import Levels
from ssl_ood.methods.glow.settings import GlowSettings
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.updates import parameter_groups
from ssl_ood.views.transfer import to_device

VALUES = 256  # of a pixel
LAST_BIT = 1e-7  # below 1, so that noise never reaches the next value in float32


class GlowNetwork(nn.Module):
    """The flow as a backbone."""

    def __init__(self, settings: GlowSettings) -> None:
        super().__init__()
        flow, views = settings.backbone, settings.views
        self.backbone = Levels(views.channels, views.size, flow.levels, flow.steps, flow.hidden)

    def bits(self, images: Tensor, standardise: bool = False) -> Tensor:
        """Bits per dimension (N,) of dequantised images: -log2 p(x) / D, x of whole pixel values.

        With y = x / 256 the density of x is that of y times 256^-D, which adds 8 bits.
        """
        _, log_density = self.backbone(images, standardise)
        dimensions = images[0].numel()
        return math.log2(VALUES) - log_density / (dimensions * math.log(2))


def whole_values(views: Tensor, channels: int) -> Tensor:
    """(N, 3, S, S) in 0..1 -> (N, channels, S, S) whole pixel values 0..255."""
    chosen = views.mean(1, keepdim=True) if channels == 1 else views
    return (chosen * (VALUES - 1)).round()


def dequantised(values: Tensor, noise: Tensor) -> Tensor:
    """Whole values and noise in [0, 1) -> -0.5..0.5."""
    return (values + noise) / VALUES - 0.5


@dataclass(frozen=True)
class Likelihood(Model):
    """A trained flow, whose only feature of an image is its bits per dimension."""

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, s, s) views -> bits per dimension (N, 1)."""
        values = whole_values(views, self.settings.views.channels)
        noise = _noise(self.settings, (1, *values.shape[1:]), "evaluation")
        return self.network.bits(dequantised(values, to_device(noise, views.device)))[:, None]


def _noise(settings: RunSettings, shape: tuple[int, ...], *names: str | int):
    rng = stream(settings.seed, "dequantisation", *names)
    return rng.random(shape, dtype="float32") * (1 - LAST_BIT)


class Glow(OneNetwork):
    """Maximum likelihood; the loss is in bits per dimension."""

    MODEL = Likelihood

    def make_optimizer(self) -> torch.optim.Optimizer:
        kind = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
        chosen = kind[self.settings.training.optimiser]
        return chosen(parameter_groups(self.network), lr=0.0)

    @classmethod
    def build(cls, settings: GlowSettings) -> nn.Module:
        return GlowNetwork(settings)

    def begin_step(self, batch: Batch, own_rows: slice, moment: Moment) -> None:
        """The first batch sets the scales and shifts of every ActNorm."""
        if moment.step == 0:
            with torch.no_grad():
                self.network.bits(self._images(batch, own_rows, 0), standardise=True)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """The mean of the bits per dimension, in float32 throughout."""
        bits = self.network.bits(self._images(batch, rows, moment.step))
        return bits.mean(), bits.new_empty(0)

    def _images(self, batch: Batch, rows: slice, step: int) -> Tensor:
        """Dequantised images, a share of their pixels replaced where the settings say so."""
        views = self.views_of(batch, rows, "view", step)
        values = whole_values(views, self.settings.views.channels)
        shape = len(batch), *values.shape[1:]
        if share := self.settings.training.mutation:
            rng = stream(self.settings.seed, "mutation", step)
            replaced = to_device(rng.random(shape)[rows] < share, self.device)
            other = rng.integers(0, VALUES, shape).astype("float32")[rows]
            values = torch.where(replaced, to_device(other, self.device), values)
        noise = _noise(self.settings, shape, "training", step)[rows]
        return dequantised(values, to_device(noise, self.device))

    def probed(self) -> None:
        """Nothing: neighbours by one number say nothing, and the loss is in the log."""

    def describe(self, line: dict[str, float]) -> str:
        return f"bits per dimension {line['loss']:.4f}"
