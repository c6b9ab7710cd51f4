"""A network and its opponents, updated in turns on one device, each by an optimiser of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.methods.base import Batch, Model, Moment, Turn
from ssl_ood.methods.maps import absolute_errors, chosen
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.signs import DoesNotFall, Sign
from ssl_ood.methods.updates import parameter_groups


def told_apart(real: Tensor, made: Sequence[Tensor]) -> Tensor:
    """-log D(real) - sum_i log(1 - D(made_i)), each a mean over its logits: what opponents reduce.

    real, and each of made: logits of D, the probability of being real, of any shape.
    """
    return F.softplus(-real).mean() + sum(F.softplus(logits).mean() for logits in made)


def taken_for_real(made: Tensor) -> Tensor:
    """-log D(made), a mean over its logits: what whoever made it reduces."""
    return F.softplus(-made).mean()


@dataclass(frozen=True)
class Autoencoded(Model):
    """A trained autoencoder, which gives (codes, images), whatever it was trained against."""

    def embed(self, name: str, images: Tensor) -> Tensor:
        """Mean absolute error (N, 1) of each image's reconstruction."""
        views = self.views(images)
        rebuilt = self.network(views)[1]
        return absolute_errors(chosen(views, rebuilt.shape[1]), rebuilt)[:, None]


class Adversarial(OneNetwork):
    """Its network has `opponents`; the rest of it has the first turn, they have the second.

    PARTS: "error", a mean error of reconstruction, is what a training is judged by, since neither
    side's loss can be compared over time; "opponents" is the opponents' loss.
    """

    PARTS = ("error", "opponents")

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device, initial)
        self.opposing = self.optimizer_of(self.network.opponents)
        for group in self.opposing.param_groups:
            group["rate"] = self.settings.training.opponent_rate

    def make_optimizer(self) -> torch.optim.Optimizer:
        self.own = nn.ModuleList(
            module for name, module in self.network.named_children() if name != "opponents"
        )
        return self.optimizer_of(self.own)

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """An optimiser of one side's parameters."""
        betas = self.settings.training.betas
        return torch.optim.Adam(parameter_groups(network), lr=0.0, betas=betas)

    def turns(self) -> Sequence[Turn]:
        place = 1 + self.PARTS.index("opponents")
        return [
            Turn(self.own, self.optimizer, self.loss),
            Turn(self.network.opponents, self.opposing, self.loss_of_opponents, place),
        ]

    def loss_of_opponents(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """As `loss`, of the second turn: what the network makes is given, without a gradient."""
        raise NotImplementedError

    @contextmanager
    def judged(self) -> Iterator[nn.Module]:
        """The opponents, through which gradients pass that are not for themselves."""
        opponents = self.network.opponents
        opponents.requires_grad_(False)
        yield opponents
        opponents.requires_grad_(True)

    def signs(self) -> list[Sign]:
        return [DoesNotFall("error")]

    def curve(self, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        top = max((line["error"] for line in lines), default=0.0) or 1.0
        return {"name": "error", "values": [line["error"] / top for line in lines]}

    def describe(self, line: dict[str, float]) -> str:
        return " ".join(f"{name} {line[name]:.4f} " for name in ("loss", *self.PARTS)).rstrip()
