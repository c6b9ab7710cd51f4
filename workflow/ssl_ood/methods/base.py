"""What a method of training has to offer, and what evaluation and report get of a trained one.

The trainer owns the loop: order of the images, schedules, micro-batches, gradients over devices,
optimiser, checkpoints, progress. A method owns its networks, views and loss, and what it keeps
between steps. To add one, derive from `Method` in a folder of its own, whose `settings.py` declares
it (`declare("method", NAME, "package.module:Class", settings=..., ...)`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import load_tensors
from ssl_ood.common.registry import lookup
from ssl_ood.common.streams import stream
from ssl_ood.methods.precision import autocast
from ssl_ood.methods.settings import MethodSettings, RunSettings, read_run
from ssl_ood.methods.signs import DoesNotFall, Sign
from ssl_ood.views.render import draw, render, resize_plain
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.transfer import to_device

__all__ = ["Batch", "Method", "Model", "Moment", "Turn", "load_model", "method_of", "read_run"]


@dataclass(frozen=True)
class Batch:
    """The images of a step, the same in every process.

    images: (B, S, S, 3) uint8; labels: (B,) int64 or None; negatives: (n B, S, S, 3) uint8, of
    which rows n i to n (i + 1) belong to image i, or None; shifts: of each negative the shift that
    is left to its views, empty where none is; places: (B,) int64, of each image its number among
    the `of` images that are trained on.
    """

    images: Tensor
    labels: Tensor | None = None
    negatives: Tensor | None = None
    shifts: tuple[str | None, ...] = ()
    places: np.ndarray | None = None
    of: int = 0

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Moment:
    """Where a training is: its step and epoch from 0, and the values of its schedule there."""

    step: int
    epoch: int
    temperature: float  # of the teacher
    momentum: float  # of the teacher's moving average


@dataclass(frozen=True)
class Turn:
    """One of the updates of a step: what it trains, and by which loss.

    network: whose parameters get the gradients, all of them the optimiser's; loss: see
    `Method.loss`; place: of what it tells in (loss, *PARTS), which is its loss and then its parts.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[Batch, slice, Moment], tuple[Tensor, Tensor]]
    place: int = 0


@dataclass(frozen=True)
class Model:
    """A trained network in evaluation mode: all that evaluation and report know of a method.

    sha256: of the file that the weights are from. What a method does not declare to offer raises
    NotImplementedError.
    """

    settings: RunSettings
    network: nn.Module  # with `features`
    sha256: str = ""

    def views(self, images: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 images, whole and not augmented -> (N, 3, s, s) normalised."""
        spec = self.settings.options.shown
        crop = spec.crop, spec.interpolation
        return resize_plain(images, spec.size, spec.mean, spec.std, *crop)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, s, s) normalised views -> features (N, d): what the scores use."""
        return self.network.features(views)

    def logits(self, features: Tensor) -> Tensor:
        """(N, d) -> logits (N, K) of the classes; larger means more abnormal where K = 1."""
        raise NotImplementedError

    def embed(self, name: str, images: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 images -> (N, ...) float32: what a score compares beside features.

        name: one that the method declares among what it offers.
        """
        raise NotImplementedError

    def patch_tokens(self, views: Tensor) -> Tensor:
        """(N, 3, s, s) normalised views -> tokens (N, P, d) of a square of P patches, by rows."""
        raise NotImplementedError

    def soft_class_logits(self, features: Tensor) -> Tensor:
        """(N, d) -> the teacher's logits (N, K) of the soft-classes, float32."""
        raise NotImplementedError

    def soft_classes(self, features: Tensor) -> Tensor:
        """(N, d) -> the teacher's probabilities (N, K), float32."""
        raise NotImplementedError


class Method:
    """One method of training; `trained` is the network whose parameters get the gradients.

    A step has one update, of all of `trained` by `optimizer` and `loss`, unless `turns` says more.
    """

    PARTS: ClassVar[tuple[str, ...]] = ()  # what `loss` tells beside the loss, logged every epoch
    MODEL: ClassVar[type[Model]] = Model  # what `load` makes of a trained network
    uses_labels: ClassVar[bool] = False
    keeps_rest: ClassVar[bool] = False  # an epoch's last, smaller batch is used, not left out

    trained: nn.Module
    optimizer: torch.optim.Optimizer

    def __init__(
        self, settings: RunSettings, device: torch.device, initial: Path | None = None
    ) -> None:
        """The networks on the device, weights drawn from torch's generator or from `initial`."""
        self.settings, self.device = settings, device

    @classmethod
    def build(cls, settings: MethodSettings) -> nn.Module:
        """The network that is trained, with a `backbone` and `features`; weights are drawn."""
        raise NotImplementedError

    @classmethod
    def load(cls, settings: RunSettings, weights: Path, device: torch.device) -> Model:
        """The model of a run from its model.safetensors."""
        network = cls.build(settings.options)
        load_state(network, load_tensors(weights)[0], weights)
        return cls.MODEL(settings, network.to(device).eval(), sha256_of(weights))

    @classmethod
    def example_views(cls, settings: RunSettings) -> list[tuple[str, ViewSpec, str, str]]:
        """Rows of the figure of views: (label, kind of view, name of its random stream, what is
        shown: "images" or "negatives")."""
        raise NotImplementedError

    def compile(self, **options: Any) -> None:
        """Lets torch.compile make the passes of the networks' backbones; the weights, and what is
        kept of them, are the same. options: of torch.compile."""
        import torch._inductor.config as inductor

        inductor.fallback_random = True  # drop path draws the numbers that it draws without
        for network in self.networks():
            network.backbone.compile(**options)

    def autocast(self) -> torch.autocast:
        """The autocast that `training.precision` asks for, around the passes of the networks."""
        return autocast(self.device, self.settings.training.precision)

    def networks(self) -> list[nn.Module]:
        """All networks, each with a `backbone`."""
        return [self.trained]

    @classmethod
    def targets_of(cls, labels: np.ndarray, settings: RunSettings) -> np.ndarray:
        """What a method that uses labels is trained to tell, (N,) int64, from a set's labels.

        Raises UserError for labels that it cannot be trained on.
        """
        return labels

    # ---- a step

    def views_of(self, batch: Batch, rows: slice | np.ndarray, name: str, step: int) -> Tensor:
        """A view (len(rows), 3, s, s) of each image in `rows`; name: of the stream it is drawn by.

        Drawn for the whole batch, so that it is the same view however the batch is split.
        """
        images, spec = batch.images, self.settings.views.spec
        rng = stream(self.settings.seed, "views", name, step)
        parameters = draw(spec, len(images), *images.shape[1:3], rng)
        # On the device first, since indexing by an array of the host would wait for it.
        chosen = images[rows if isinstance(rows, slice) else to_device(rows, self.device)]
        return render(chosen, parameters.rows(rows), spec)

    def rows_at_a_time(self, rows: int, micro: int) -> int:
        """Images of a forward pass, where a process works on `rows` and has memory for `micro`."""
        return min(rows, micro)

    def turns(self) -> Sequence[Turn]:
        """The updates of a step in their order; the loss of the first is the one that is logged.

        An optimiser's group with a `rate` has that share of the schedule's learning rate.
        """
        return [Turn(self.trained, self.optimizer, self.loss)]

    def begin_step(self, batch: Batch, own_rows: slice, moment: Moment) -> None:
        """Before the first forward pass of a turn; `own_rows` are this process's rows."""

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """(mean loss of the rows, detached (len(PARTS),) means of what is logged)."""
        raise NotImplementedError

    def shared(self) -> list[Tensor]:
        """What is averaged over the processes together with the gradients."""
        return []

    def before_update(self, moment: Moment) -> None:
        """With all gradients of a turn there, before the optimiser uses them."""

    def end_step(self, moment: Moment) -> None:
        """After the last update."""

    # ---- an epoch

    def shared_in_epoch(self) -> list[Tensor]:
        """What is averaged over the processes before `epoch_line`."""
        return []

    def epoch_line(self, steps: int) -> dict[str, float]:
        """More for the epoch's line in the log; forgets what it gathered."""
        return {}

    def shared_in_window(self) -> list[Tensor]:
        """What is averaged over the processes before `window_line`."""
        return []

    def window_line(self, steps: int) -> dict[str, float]:
        """More for the line of the steps since the last such line; forgets what it gathered."""
        return {}

    def describe(self, line: dict[str, float]) -> str:
        """A line of the log for people."""
        return f"loss {line['loss']:.4f}"

    # ---- whether it learns

    def signs(self) -> list[Sign]:
        """What tells by the lines of the log that the training goes wrong."""
        return [DoesNotFall()]

    def curve(self, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What `watch` draws of lines of the log: its name, and values from 0 to 1."""
        top = max((abs(line["loss"]) for line in lines), default=0.0) or 1.0
        return {"name": "loss", "values": [line["loss"] / top for line in lines]}

    def probed(self) -> Model | None:
        """The model as evaluation would get it now, whose features are looked at now and then while
        it trains; None where that says nothing."""
        return self.MODEL(self.settings, self.trained)

    # ---- what is kept

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside `result` and the optimisers."""
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


def method_of(settings: RunSettings) -> type[Method]:
    """The method of a run."""
    return lookup("method", settings.method).load()


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Gives a network the tensors of the file at `path`. Raises UserError where they do not fit."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} does not hold the weights of this network ({reason}): delete the file and "
            "train the run again."
        ) from None


def load_model(settings: RunSettings, weights: Path, device: torch.device) -> Model:
    """The model of a run from its model.safetensors, in evaluation mode on the device."""
    return method_of(settings).load(settings, weights, device)
