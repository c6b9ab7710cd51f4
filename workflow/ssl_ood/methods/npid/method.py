"""Non-parametric instance discrimination as a method of the trainer (Wu et al., CVPR 2018).

Equations 4.5 to 4.9. The denominator Z of equation 4.5 is estimated from the first batch and then
constant, as in the paper. Noise is drawn from the other images, never from the image itself; with
all of them as noise, M = N - 1, none is drawn. Left out: the proximal term, which the thesis does
not have either.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.streams import stream, torch_seed
from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.npid.loss import nce_loss
from ssl_ood.methods.npid.settings import NpidSettings
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.settings import RunSettings
from ssl_ood.views.transfer import to_device


class NpidNetwork(nn.Module):
    """A backbone and one linear layer to unit vectors."""

    def __init__(self, settings: NpidSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        self.head = nn.Linear(feature_width(self.backbone), settings.head.out)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, out) of unit length, float32."""
        return F.normalize(self.head(self.features(views)).float(), dim=1)


class Npid(OneNetwork):
    """The memory (N, out) has a unit vector of every image; log Z is 0 until the first step."""

    PARTS = ("own_first",)

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device, initial)
        self.memory: Tensor | None = None  # as many as there are images, which a batch tells
        self.log_normaliser = torch.zeros((), device=device)

    @classmethod
    def build(cls, settings: NpidSettings) -> nn.Module:
        return NpidNetwork(settings)

    def begin_step(self, batch: Batch, own_rows: slice, moment: Moment) -> None:
        if self.memory is None:
            drawn = torch.Generator().manual_seed(torch_seed(self.settings.seed, "memory"))
            vectors = torch.randn(batch.of, self.settings.head.out, generator=drawn)
            self.memory = F.normalize(vectors, dim=1).to(self.device)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.9; the part is the share of images nearer to themselves than to all noise."""
        views = self.views_of(batch, rows, "view", moment.step)
        with self.autocast():
            vectors = self.network(views)
        with torch.autocast(self.device.type, enabled=False):
            similar = vectors @ self.memory.T / self.settings.training.temperature
        places = to_device(batch.places[rows], self.device)[:, None]
        own = similar.gather(1, places)
        noise = similar.gather(1, self._noise(batch, places, moment.step))
        if moment.step == 0:
            seen = torch.cat([own, noise], dim=1).detach()
            mean = seen.flatten().logsumexp(0) - math.log(seen.numel())
            self.log_normaliser.copy_(mean + math.log(batch.of))
        self._seen = places[:, 0], vectors.detach()
        first = (own > noise.amax(1, keepdim=True)).float().mean()
        return nce_loss(own[:, 0], noise, self.log_normaliser, batch.of), first.detach()[None]

    def _noise(self, batch: Batch, places: Tensor, step: int) -> Tensor:
        """The places (B, M) of other images: a number among those is one less from the own on."""
        count = self.settings.training.noise
        if count in (0, batch.of - 1):
            others = torch.arange(batch.of - 1, device=self.device).expand(len(places), -1)
        else:
            rng = stream(self.settings.seed, "noise", step)
            others = to_device(rng.integers(0, batch.of - 1, (len(places), count)), self.device)
        return others + (others >= places)

    def end_step(self, moment: Moment) -> None:
        """What the memory has of the images that were just seen moves towards it."""
        places, vectors = self._seen
        mixed = torch.lerp(vectors, self.memory[places], self.settings.training.memory_momentum)
        self.memory[places] = F.normalize(mixed, dim=1)

    def state(self) -> dict[str, Any]:
        return {"memory": self.memory, "log_normaliser": self.log_normaliser}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if state.get("memory") is not None:
            self.memory = state["memory"].to(self.device)
            self.log_normaliser.copy_(state["log_normaliser"])

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  nearer to itself than to noise {line['own_first']:.1%}"
