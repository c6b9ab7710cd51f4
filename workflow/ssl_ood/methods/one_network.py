"""The part that methods share which train one network by SGD, a whole batch at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssl_ood.methods.backbones import feature_width, load_backbone
from ssl_ood.methods.base import Method
from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.sgd import make_sgd
from ssl_ood.views.spec import ViewSpec


class OneNetwork(Method):
    """A network with a `backbone`; all of its parameters are trained and all are kept."""

    KEY: ClassVar[str] = "network"  # of a checkpoint

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        super().__init__(settings, device)
        self.network = self.trained = self.build(settings.options)
        if initial is not None:
            load_backbone(self.network.backbone, initial)
        self.network.to(device)
        self.optimizer = self.make_optimizer()

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Of all parameters; the trainer sets its rate and its weight decay in every step."""
        return make_sgd(self.network, self.settings.training)

    @classmethod
    def example_views(cls, settings: RunSettings) -> list[tuple[str, ViewSpec, str, str]]:
        return [(f"View {i}", settings.views.spec, f"view{i}", "images") for i in (1, 2, 3, 4)]

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        return rows  # batch normalisation sees the whole batch

    def result(self) -> dict[str, Any]:
        return {self.KEY: self.network.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state[self.KEY])

    def model_state(self) -> dict[str, Tensor]:
        return self.network.state_dict()


class WithClasses(nn.Module):
    """A backbone and one linear layer to `classes` logits."""

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(feature_width(backbone), classes)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) -> logits (N, classes), float32."""
        return self.head(self.features(views)).float()
