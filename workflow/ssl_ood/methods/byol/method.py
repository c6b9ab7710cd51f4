"""BYOL as a method of the trainer (section 4.5.2; Grill et al., 2020).

SGD in place of LARS, since batches here are small; symmetric views without blur and solarisation,
as is usual for images of 32 pixels. The online encoder is what is kept. The moving average is of
the parameters; batch statistics are each network's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.byol.loss import byol_loss
from ssl_ood.methods.byol.settings import ByolSettings
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.simsiam.loss import alike
from ssl_ood.methods.simsiam.method import VIEWS, PredictingNetwork, Simsiam
from ssl_ood.methods.updates import update_teacher


class OnlineNetwork(PredictingNetwork):
    """Its projector ends with a plain linear layer."""

    LAST_NORM = False


class Byol(Simsiam):
    """Online and target network; the target has no use for its predictor."""

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device, initial)
        self.target = self.build(settings.options)
        self.target.load_state_dict(self.network.state_dict())
        self.target.requires_grad_(False)
        self.target.to(device)

    @classmethod
    def build(cls, settings: ByolSettings) -> nn.Module:
        return OnlineNetwork(settings)

    def networks(self) -> list[nn.Module]:
        return [self.network, self.target]

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `byol_loss`; the part tells how alike the online projections are."""
        views = [self.views_of(batch, rows, name, moment.step) for name in VIEWS]
        with self.autocast():
            projected = [self.network.project(view) for view in views]
            predicted = [self.network.predictor(z) for z in projected]
            with torch.no_grad():
                targets = [self.target.project(view) for view in views]
        return byol_loss(predicted, targets), alike(torch.cat(projected))[None]

    def end_step(self, moment: Moment) -> None:
        update_teacher(self.target.parameters(), self.network.parameters(), moment.momentum)

    def state(self) -> dict[str, Any]:
        return {"target": self.target.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if "target" in state:
            self.target.load_state_dict(state["target"])
