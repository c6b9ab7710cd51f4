"""What a method of training has to offer, and where the methods are.

The trainer owns the loop: order of the images, schedules, micro-batches, gradients over devices,
optimiser, checkpoints, progress. A method owns its networks, views and loss, and what it keeps
between steps. To add one, derive from `Method` in a module of its own and name it in METHODS.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

METHODS = {"dino": "dino.method", "moco": "moco.method", "finetune": "finetune.method"}


@dataclass(frozen=True)
class Batch:
    """The images of a step, the same in every process.

    images: (B, S, S, 3) uint8; labels: (B,) int64 or None; negatives: (B, S, S, 3) uint8 or None.
    """

    images: Tensor
    labels: Tensor | None = None
    negatives: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Moment:
    """Where a training is: its step and epoch from 0, and the values of its schedule there."""

    step: int
    epoch: int
    temperature: float  # of the teacher
    momentum: float  # of the teacher's moving average


class Method:
    """One method of training; `trained` is the network whose parameters get the gradients."""

    PARTS: ClassVar[tuple[str, ...]] = ()  # what `loss` tells beside the loss, logged every epoch
    uses_labels: ClassVar[bool] = False
    keeps_rest: ClassVar[bool] = False  # an epoch's last, smaller batch is used, not left out

    trained: nn.Module
    optimizer: torch.optim.Optimizer

    def __init__(
        self, config: dict[str, Any], device: torch.device, initial: Path | None = None
    ) -> None:
        """The networks on the device, weights drawn from torch's generator or from `initial`."""
        self.config, self.device = config, device

    @classmethod
    def check(cls, config: dict[str, Any], images: int, rows: int) -> None:
        """Raises UserError for settings that `images` images or `rows` a process cannot meet."""

    def compile(self, **options: Any) -> None:
        """Lets torch.compile make the passes of the networks' backbones; the weights, and what is
        kept of them, are the same. options: of torch.compile."""
        import torch._inductor.config as inductor

        inductor.fallback_random = True  # drop path draws the numbers that it draws without
        for network in self.networks():
            network.backbone.compile(**options)

    def networks(self) -> list[nn.Module]:
        """All networks, each with a `backbone`."""
        return [self.trained]

    # ---- a step

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        """Images of a forward pass, where a process works on `rows` and has memory for `micro`."""
        return min(rows, micro)

    def begin_step(self, batch: Batch, mine: slice, moment: Moment) -> None:
        """Before the first forward pass of a step; `mine` are this process's rows."""

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """(mean loss of the rows, detached (len(PARTS),) means of what is logged)."""
        raise NotImplementedError

    def shared(self) -> list[Tensor]:
        """What is averaged over the processes together with the gradients."""
        return []

    def before_update(self, moment: Moment) -> None:
        """With all gradients there, before the optimiser uses them."""

    def end_step(self, moment: Moment) -> None:
        """After the optimiser's update."""

    # ---- an epoch

    def shared_in_epoch(self) -> list[Tensor]:
        """What is averaged over the processes before `epoch_line`."""
        return []

    def epoch_line(self, steps: int) -> dict[str, float]:
        """More for the epoch's line in the log; forgets what it gathered."""
        return {}

    def describe(self, line: dict[str, float]) -> str:
        """A line of the log for people."""
        return f"loss {line['loss']:.4f}"

    # ---- what is kept

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside `result` and the optimiser."""
        return {}

    def result(self) -> dict[str, Any]:
        """What is left after the last step."""
        raise NotImplementedError

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what `state` and `result`, or `result` alone, gave."""
        raise NotImplementedError

    def model_state(self) -> dict[str, Tensor]:
        """The tensors of model.safetensors."""
        raise NotImplementedError


def method_class(config: dict[str, Any]) -> type[Method]:
    """The method of a run config."""
    return import_module(f"ssl_ood.methods.{METHODS[config['method']]}").METHOD
