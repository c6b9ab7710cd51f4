"""What changes while a run trains, and the schedule that it follows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssl_ood.methods.base import Method, Moment
from ssl_ood.methods.settings import RunSettings
from ssl_ood.training import schedules

LOGGED = ("history", "signs", "probes", "probe_seconds")


@dataclass
class Training:
    """Everything that changes while a run trains."""

    settings: RunSettings
    method: Method
    sums: Tensor  # loss, the method's parts, steps: since the epoch began
    recent: Tensor  # the same since the last line of signs
    votes: Tensor  # (1,) share of the processes that want to stop, averaged with the gradients
    step: int = 0
    seconds: float = 0.0
    repeated: int = 0  # steps that were done again after an attempt was killed
    resumed_at: list[int] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)  # a line for each epoch
    signs: list[dict] = field(default_factory=list)  # and every so many steps: `monitor`
    probes: list[dict] = field(default_factory=list)  # and now and then: `probe`
    probe_seconds: float = 0.0

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            **self.result(),
            **self.method.state(),
            "optimizers": [turn.optimizer.state_dict() for turn in self.method.turns()],
            "sums": self.sums,
            "recent": self.recent,
        }

    def result(self) -> dict:
        """What is left of it after the last step."""
        return {
            **self.method.result(),
            "step": self.step,
            "seconds": self.seconds,
            "repeated": self.repeated,
            "resumed_at": self.resumed_at,
            **{name: getattr(self, name) for name in LOGGED},
        }

    def lines(self) -> list[dict]:
        """The log, in the order of the steps: lines of kind "signs", "probe" and "epoch"."""
        return sorted([*self.signs, *self.probes, *self.history], key=lambda line: line["epoch"])

    def restore(self, state: dict) -> None:
        """Continues from what `state` gave, or stands again at the end from what `result` gave."""
        self.method.restore(state)
        if "optimizer" in state:  # of an older checkpoint
            state = {**state, "optimizers": [state["optimizer"]]}
        if "optimizers" in state:
            for turn, kept in zip(self.method.turns(), state["optimizers"], strict=True):
                turn.optimizer.load_state_dict(kept)
            self.sums.copy_(state["sums"])
            self.recent.copy_(state.get("recent", torch.zeros_like(self.recent)))
        for number in ("step", "seconds", "repeated"):
            setattr(self, number, state[number])
        for name in set(LOGGED) & state.keys():  # an older checkpoint has the epochs only
            setattr(self, name, state[name])
        self.resumed_at = [*state["resumed_at"], self.step]


@dataclass(frozen=True)
class Schedule:
    """The values of every step (lr, weight decay, momentum) and epoch (teacher temperature)."""

    lr: np.ndarray
    weight_decay: np.ndarray
    momentum: np.ndarray
    temperature: np.ndarray
    steps_per_epoch: int
    images_per_epoch: int

    @property
    def steps(self) -> int:
        return len(self.lr)

    @property
    def epochs(self) -> int:
        return len(self.temperature)

    def images(self, step: int) -> float:
        """Images that the first `step` steps use, within an epoch equally many a step."""
        return step * self.images_per_epoch / max(self.steps_per_epoch, 1)

    def moment(self, step: int) -> Moment:
        """The values that a method needs to know of a step."""
        epoch = step // self.steps_per_epoch
        return Moment(step, epoch, float(self.temperature[epoch]), float(self.momentum[step]))


def make_schedule(settings: RunSettings, images: int, *, keeps_rest: bool = False) -> Schedule:
    """The schedule of a training on `images` images; the last, smaller batch of an epoch is left
    out unless the method `keeps_rest`, the rate follows the linear rule lr_base * batch / 256."""
    training = settings.training
    batch, epochs = training.batch_size, training.epochs
    per_epoch = -(-images // batch) if keeps_rest else images // batch
    steps, warmup = epochs * per_epoch, training.warmup_epochs * per_epoch
    peak = training.lr_base * batch / 256
    return Schedule(
        lr=schedules.warmup_cosine(peak, training.lr_min, warmup, steps),
        weight_decay=schedules.cosine(*training.weight_decay, steps),
        momentum=schedules.cosine(*settings.options.momentum, steps),
        temperature=schedules.linear(*settings.options.temperature, epochs),
        steps_per_epoch=per_epoch,
        images_per_epoch=min(per_epoch * batch, images),
    )
