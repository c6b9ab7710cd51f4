"""Glow (Kingma and Dhariwal, 2018): invertible layers with the logarithms of their determinants.

Every layer maps (N, C, H, W) to the same number of values and returns with it log |det J|, (N,).
Only the direction from images to latents is here: likelihoods need no other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

SQUEEZE = 2  # pixels of a side that become channels


class ActNorm(nn.Module):
    """One scale and one shift for each channel, at first those that standardise a batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def standardise(self, x: Tensor) -> None:
        """Makes the output of these inputs have mean 0 and deviation 1 in every channel."""
        deviation = x.std((0, 2, 3), correction=0).clamp_min(1e-3)
        self.log_scale.copy_(-deviation.log())
        self.shift.copy_(-x.mean((0, 2, 3)) / deviation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x * self.log_scale.exp()[:, None, None] + self.shift[:, None, None]
        return y, (x[0, 0].numel() * self.log_scale.sum()).expand(len(x))


class Mixing(nn.Module):
    """An invertible 1x1 convolution W = P L (U + diag(s)), at first a random rotation.

    P a fixed permutation, L lower triangular with ones, U upper triangular without a diagonal, and
    s of fixed signs: log |det W| is the sum of log |s|.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if torch.empty(0).device.type == "meta":  # where only sizes are asked for
            permutation = lower = upper = torch.empty(channels, channels)
        else:
            rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
            permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))

    def weight(self) -> Tensor:
        """W, (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), device=self.sign.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.conv2d(x, self.weight()[:, :, None, None])
        return y, (x[0, 0].numel() * self.log_diagonal.sum()).expand(len(x))


class Coupling(nn.Module):
    """Half of the channels scales and shifts the other half; at first nearly the identity."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.kept = channels // 2
        moved = channels - self.kept
        self.network = nn.Sequential(
            nn.Conv2d(self.kept, hidden, 3, padding=1), nn.ReLU(),
            nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
            _zero(nn.Conv2d(hidden, 2 * moved, 3, padding=1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        raw, shift = self.network(kept).chunk(2, dim=1)
        log_scale = F.logsigmoid(raw + 2)
        y = torch.cat([kept, (moved + shift) * log_scale.exp()], dim=1)
        return y, log_scale.flatten(1).sum(1)


class Step(nn.Module):
    """ActNorm, 1x1 convolution, coupling."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.mixing = Mixing(channels)
        self.coupling = Coupling(channels, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in (self.norm, self.mixing, self.coupling):
            x, log_det = layer(x)
            total = total + log_det
        return x, total


class Split(nn.Module):
    """Takes half of the channels out: a normal distribution whose parameters the rest predicts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kept = channels // 2
        self.prior = _zero(nn.Conv2d(self.kept, 2 * (channels - self.kept), 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The kept channels, and the log-density (N,) of the others."""
        kept, out = x[:, : self.kept], x[:, self.kept :]
        mean, log_deviation = self.prior(kept).chunk(2, dim=1)
        return kept, Normal(mean, log_deviation.exp()).log_prob(out).flatten(1).sum(1)


class Levels(nn.Module):
    """The whole flow: levels of squeeze, steps and split; the last one is not split.

    latents: of the last level's latents, for images of (channels, size, size).
    """

    def __init__(self, channels: int, size: int, levels: int, steps: int, hidden: int) -> None:
        super().__init__()
        self.levels, self.splits = nn.ModuleList(), nn.ModuleList()
        for level in range(levels):
            channels *= SQUEEZE**2
            self.levels.append(nn.ModuleList(Step(channels, hidden) for _ in range(steps)))
            if level + 1 < levels:
                self.splits.append(Split(channels))
                channels //= 2
        self.latents = channels * (size // SQUEEZE**levels) ** 2
        self.prior = nn.Parameter(torch.zeros(2, channels, 1, 1))  # mean, log deviation

    def forward(self, x: Tensor, standardise: bool = False) -> tuple[Tensor, Tensor]:
        """(N, C, S, S) -> latents of the last level (N, latents), log-density (N,) in nats.

        standardise: sets every ActNorm by these images first.
        """
        total = x.new_zeros(len(x))
        for level, steps in enumerate(self.levels):
            x = F.pixel_unshuffle(x, SQUEEZE)
            for step in steps:
                if standardise:
                    step.norm.standardise(x)
                x, log_det = step(x)
                total = total + log_det
            if level < len(self.splits):
                x, log_p = self.splits[level](x)
                total = total + log_p
        mean, log_deviation = self.prior
        log_p = Normal(mean, log_deviation.exp()).log_prob(x)
        return x.flatten(1), total + log_p.flatten(1).sum(1)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
