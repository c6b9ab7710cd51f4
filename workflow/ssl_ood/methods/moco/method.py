"""Momentum contrast as a method of the trainer (chapter 5): query encoder, key encoder, queue.

The query encoder is what is kept. Batch normalisation lets a network find the key of its own query
by the statistics that both were normalised with; so, as in the reference, keys are computed in
another order of the images than queries, in groups of `training.batch_norm_images`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.distributed import average, gather
from ssl_ood.common.streams import stream, torch_seed
from ssl_ood.methods.backbones import build_backbone, feature_width, load_backbone
from ssl_ood.methods.base import Batch, Method, Moment
from ssl_ood.methods.moco import loss as moco
from ssl_ood.methods.moco.settings import MocoSettings
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.sgd import make_sgd
from ssl_ood.methods.signs import Sign, StaysAtChance
from ssl_ood.methods.updates import update_teacher
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.transfer import to_device


class Encoder(nn.Module):
    """A backbone and a projection of two linear layers to unit vectors."""

    def __init__(self, settings: MocoSettings) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        widths = [feature_width(self.backbone), settings.head.hidden, settings.head.out]
        first, second = (nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Sequential(first, nn.ReLU(), second)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, out) of unit length: what the loss uses."""
        return F.normalize(self.head(self.features(views)).float(), dim=1)


class Moco(Method):
    """Query and key encoder; `teacher_momentum` is that of the key encoder."""

    PARTS = ("contrast_accuracy",)

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device)
        training = settings.training
        self.query = self.trained = self.build(settings.options)
        if initial is not None:
            load_backbone(self.query.backbone, initial)
        self.key = self.build(settings.options)
        self.key.load_state_dict(self.query.state_dict())
        self.key.requires_grad_(False)
        self.query.to(device)
        self.key.to(device)
        self.optimizer = make_sgd(self.query, training)
        drawn = torch.Generator().manual_seed(torch_seed(settings.seed, "queue"))
        queue = torch.randn(training.queue, settings.head.out, generator=drawn)
        self.queue = F.normalize(queue, dim=1).to(device)

    @classmethod
    def build(cls, settings: MocoSettings) -> Encoder:
        return Encoder(settings)

    @classmethod
    def example_views(cls, settings: RunSettings) -> list[tuple[str, ViewSpec, str, str]]:
        return [(f"View {i}", settings.views.spec, f"view{i}", "images") for i in (1, 2, 3, 4)]

    def networks(self) -> list[nn.Module]:
        return [self.query, self.key]

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        # Not what the memory allows: the size of a group changes what is learned.
        return self.settings.options.together

    def begin_step(self, batch: Batch, own_rows: slice, moment: Moment) -> None:
        """The keys of the whole batch, in a drawn order, an equal part in every process."""
        seed, count = self.settings.seed, len(batch)
        shuffled = stream(seed, "shuffle", moment.step).permutation(count)
        size = self.rows_at_a_time(own_rows.stop - own_rows.start, count)
        keys = []
        for low in range(own_rows.start, own_rows.stop, size):
            rows = shuffled[low : low + size]
            keys.append(self._encode(self.key, "key", batch, rows, moment.step))
        everyone = gather(torch.cat(keys))
        self.keys = torch.empty_like(everyone)
        self.keys[to_device(shuffled, self.device)] = everyone

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """NT-Xent, equation 5.1; the part is the share of queries nearest to their own key."""
        queries = self._encode(self.query, "query", batch, rows, moment.step)
        keys, temperature = self.keys[rows], self.settings.training.temperature
        loss = moco.nt_xent(queries, keys, self.queue, temperature).mean()
        with torch.no_grad():
            first = moco.contrasts(queries, keys, self.queue).argmax(1) == 0
        return loss, first.float().mean()[None]

    def _encode(self, encoder: Encoder, name: str, batch: Batch, rows, step: int) -> Tensor:
        """Unit vectors (len(rows), out) of a view of its own of every image in `rows`."""
        views = self.views_of(batch, rows, name, step)
        with torch.set_grad_enabled(encoder is self.query), self.autocast():
            return encoder(views)

    def end_step(self, moment: Moment) -> None:
        update_teacher(self.key.parameters(), self.query.parameters(), moment.momentum)
        moco.enqueue(self.queue, self.keys, moment.step)
        # Running statistics are no gradient: every process has seen its own groups only.
        buffers = [*self.query.buffers(), *self.key.buffers()]
        average([b for b in buffers if b.is_floating_point()])

    def signs(self) -> list[Sign]:
        """Not that its loss falls: beside a queue of random vectors it is small at first."""
        return [
            StaysAtChance(
                "loss",
                math.log(1 + len(self.queue)),
                "queries find their own key no better than by chance",
                "queries find their own key less and less",
                "Lower training.lr_base, raise training.warmup_epochs, or change "
                "training.temperature.",
            )
        ]

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  own key first {line['contrast_accuracy']:.1%}"

    def state(self) -> dict[str, Any]:
        return {"key": self.key.state_dict(), "queue": self.queue}

    def result(self) -> dict[str, Any]:
        return {"query": self.query.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        for module in {"query", "key"} & state.keys():
            getattr(self, module).load_state_dict(state[module])
        if "queue" in state:
            self.queue.copy_(state["queue"])

    def model_state(self) -> dict[str, Tensor]:
        return self.query.state_dict()
