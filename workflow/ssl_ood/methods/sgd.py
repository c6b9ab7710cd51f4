"""Stochastic gradient descent with momentum: the settings that methods trained by it share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ssl_ood.common.settings import Share
from ssl_ood.methods.settings import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


class SgdTraining(Training):
    """SGD with momentum."""

    sgd_momentum: Share = Field(description="momentum of the optimiser")
    nesterov: bool = Field(False, description="whether the momentum is Nesterov's")


def make_sgd(network: nn.Module, training: SgdTraining) -> torch.optim.SGD:
    """The optimiser of all of a network's parameters; every one of them is decayed."""
    import torch

    groups = [{"params": list(network.parameters()), "decay": True}]
    momentum = training.sgd_momentum
    nesterov = training.nesterov and momentum > 0
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov)
