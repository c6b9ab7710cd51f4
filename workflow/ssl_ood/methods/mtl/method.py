"""MTL as a method of the trainer (Mohseni et al., 2021; table 6.1), after its paper's abstract.

One network learns to contrast images and, by one head each, to tell the kinds of several
transformations; the score is an ensemble of the heads over transformed copies. It is no
reproduction: the paper finds transformations and weights by a search on labelled training images,
of which no code is public and none is here, so that both are settings; all else that the abstract
leaves open is as in SimCLR.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import feature_width
from ssl_ood.methods.base import Batch, Model, Moment
from ssl_ood.methods.moco.method import Encoder
from ssl_ood.methods.mtl.loss import tasks_loss
from ssl_ood.methods.mtl.settings import TRANSFORMATIONS, MtlSettings
from ssl_ood.methods.mtl.transforms import transformed
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.simclr.loss import nt_xent
from ssl_ood.views.transfer import to_device


class MtlNetwork(Encoder):
    """An encoder, its projection, and a linear layer for each transformation."""

    def __init__(self, settings: MtlSettings) -> None:
        super().__init__(settings)
        width = feature_width(self.backbone)
        chosen = settings.training.transformations
        kinds = {name: count for name, count in TRANSFORMATIONS.items() if name in chosen}
        self.tasks = nn.ModuleDict({name: nn.Linear(width, n) for name, n in kinds.items()})

    def logits(self, name: str, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> logits of the kinds of a transformation (N, K), float32."""
        return self.tasks[name](self.features(views)).float()


@dataclass(frozen=True)
class Ensemble(Model):
    """A trained network of MTL."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, T): for each transformation the mean of log p(kind) over copies of every kind."""
        views = self.views(images)
        found = []
        for task, head in self.network.tasks.items():
            told = []
            for kind in range(head.out_features):
                kinds = torch.full((len(views),), kind, device=views.device)
                copies = transformed(task, views, kinds)
                told.append(self.network.logits(task, copies).log_softmax(1)[:, kind])
            found.append(torch.stack(told).mean(0))
        return torch.stack(found, dim=1)


class Mtl(OneNetwork):
    """Contrast, and the kinds of several transformations."""

    PARTS = ("contrastive", "transformations", "accuracy")
    MODEL = Ensemble

    @classmethod
    def build(cls, settings: MtlSettings) -> nn.Module:
        return MtlNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `tasks_loss`; the parts are the contrastive loss, and the means over transformations
        of loss and share that is told."""
        training, step = self.settings.training, moment.step
        pair = [self.views_of(batch, rows, name, step) for name in ("one", "other")]
        copies, kinds = self.copies_of(batch, rows, step)
        with self.autocast():
            one, other = self.network(torch.cat(pair)).chunk(2)
            logits = {name: self.network.logits(name, views) for name, views in copies.items()}
        contrastive = nt_xent(one, other, training.temperature)
        loss, losses = tasks_loss(
            contrastive, training.contrastive_weight, logits, kinds, training.transformations
        )
        told = [(logits[name].argmax(1) == kinds[name]).float().mean() for name in losses]
        means = [torch.stack(values).mean() for values in (list(losses.values()), told)]
        return loss, torch.stack([contrastive, *means]).detach()

    def copies_of(
        self, batch: Batch, rows: slice, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of each transformation a view (n, 3, S, S) of every image with a kind that is drawn, and
        these kinds (n,)."""
        copies, kinds = {}, {}
        for name in self.network.tasks:
            rng = stream(self.settings.seed, "mtl_kinds", name, step)
            drawn = rng.integers(0, TRANSFORMATIONS[name], len(batch))[rows]
            kinds[name] = to_device(drawn, self.device)
            view = self.views_of(batch, rows, name, step)
            copies[name] = transformed(name, view, kinds[name])
        return copies, kinds

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (contrastive {line['contrastive']:.4f}, transformations "
            f"{line['transformations']:.4f})  kinds told {line['accuracy']:.1%}"
        )
