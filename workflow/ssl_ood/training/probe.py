"""Looks now and then at the features of a network in training, on a small fixed subset.

10-NN accuracy: images of the training set vote for the labels of others of it. Sensitivity (section
3.4): others of it against in-distribution test images. Neither changes the training nor decides
anything in it: no random number is drawn, no weight or running statistic changes, and no rule
depends on the test images, which are read where they are packed already. OOD images are never read.

How often and on how many images follows from the work that it is, so that the log of a training
that was resumed has the same lines; a machine on which it still takes longer than it may looks less
often.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say
from ssl_ood.common.registry import lookup
from ssl_ood.common.streams import stream
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.measures.knn import knn_votes, nearest
from ssl_ood.measures.sensitivity import sensitivity
from ssl_ood.methods.precision import products
from ssl_ood.training.sources import Sources
from ssl_ood.training.state import Schedule, Training

K, VOTE_TEMPERATURE, TAU = 10, 0.04, 0.04  # as chapter 6 measures both
FEWEST = 400  # images that tell something: looks are made rarer before they are of fewer
AT_A_TIME = 64  # images
GRACE = 20.0  # seconds that looking may take in any case


@dataclass(frozen=True)
class ProbePlan:
    """epochs: between two looks, 0: never; images: of a look, at most; share: of the training's
    time, at most."""

    epochs: int = 1
    images: int = 2000
    share: float = 0.02

    def fit(self, images_per_epoch: int, passes: float, trained: int) -> tuple[int, int]:
        """(epochs between two looks, images of a look), so that all looks cost at most `share`.

        images_per_epoch: that an epoch trains on; passes: the cost of each, in forward passes of
        one whole image, of which a look makes one per image; trained: epochs of the training, > 0.
        The first look, at what the training starts from, is one more.
        """
        allowed = self.share * images_per_epoch * passes * trained  # forward passes of all looks
        affordable = int(allowed / max(min(self.images, FEWEST), 1))  # looks
        every = max(self.epochs, -(-trained // max(affordable - 1, 1)))
        looks = 1 + -(-trained // every)
        return every, int(min(self.images, allowed / looks))


class Probe:
    """Looks at the features of `run` and adds what it sees to `run.probes`."""

    def __init__(
        self, run: Training, schedule: Schedule, sources: Sources, data: Path, plan: ProbePlan
    ) -> None:
        settings = run.settings
        self.run, self.schedule, self.plan = run, schedule, plan
        offers = lookup("method", settings.method).more.get("offers", ())
        self.on = plan.epochs > 0 and schedule.steps > 0 and "features" in offers
        self.on = self.on and run.method.probed() is not None
        if not self.on:
            return
        passes = settings.options.passes(settings.negatives_an_image)
        self.every, count = plan.fit(schedule.images_per_epoch, passes, schedule.epochs)
        train = sources.packed[settings.packed(settings.in_distribution, settings.train_split).path]
        test = _test_images(run, data)
        n_test = 0 if test is None else min(count // 4, len(test))
        order = stream(settings.seed, "probe").permutation(sources.rows)
        n_held = min(count // 4, len(order) // 2)
        n_reference = min(count - n_held - n_test, len(order) - n_held)
        self.held = _Part(train, order[:n_held])
        self.reference = _Part(train, order[n_held : n_held + n_reference])
        self.test = None
        if n_test:
            rows = stream(settings.seed, "probe", "test").permutation(len(test))[:n_test]
            self.test = _Part(test, rows)
        self.on = n_held > 0 and n_reference >= K

    def after_step(self) -> None:
        """Looks, if the epoch that ended is one for it; at the first and the last step too."""
        run, per_epoch = self.run, max(self.schedule.steps_per_epoch, 1)
        end = run.step == self.schedule.steps
        if not self.on or not (end or run.step % (self.every * per_epoch) == 0):
            return
        if any(line["step"] == run.step for line in run.probes):
            return  # resumed here
        if run.probe_seconds > GRACE + self.plan.share * run.seconds:
            return
        _wait(run.sums.device)
        began = time.monotonic()
        try:
            seen = self._look()
        except UserError as error:  # features that are not finite: the monitor's to judge
            say(f"{run.settings.run}: the features could not be looked at: {error}")
            seen = {}
        took = time.monotonic() - began
        run.probe_seconds += took
        if seen:
            epoch = run.step / per_epoch
            run.probes.append({"kind": "probe", "step": run.step, "epoch": epoch, **seen})

    def _look(self) -> dict[str, float]:
        reference, held = self._features(self.reference), self._features(self.held)
        seen: dict[str, float] = {}
        if self._labelled():
            labels = torch.from_numpy(self.reference.labels).to(reference.device)
            similarities, indices = nearest(held, reference, K)
            votes = knn_votes(
                similarities, labels[indices], int(labels.max()) + 1, VOTE_TEMPERATURE
            )
            seen["knn_accuracy"] = float(np.mean(votes.cpu().numpy() == self.held.labels))
        if self.test is not None:
            test = self._features(self.test)
            seen["sensitivity"] = sensitivity(held, test, reference, TAU)
        return seen

    def _labelled(self) -> bool:
        labels = self.reference.labels
        return min(labels.min(), self.held.labels.min()) >= 0 and len(np.unique(labels)) > 1

    def _features(self, part: _Part) -> Tensor:
        """(n, d) float32 of the whole images."""
        model, device = self.run.method.probed(), self.run.sums.device
        with (
            torch.no_grad(),
            evaluating(model.network),
            products(self.run.settings.training.precision),
            self.run.method.autocast(),
            not_compiled(model.network),
        ):
            features = [model.features(model.views(i.to(device))).float() for i in part.images()]
        return torch.cat(features)


@dataclass(frozen=True)
class _Part:
    """Some rows of a packed set."""

    packed: Packed
    rows: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return np.asarray(self.packed.labels)[self.rows]

    def images(self) -> Iterator[Tensor]:
        """(n, S, S, 3) uint8, a few at a time."""
        for first in range(0, len(self.rows), AT_A_TIME):
            yield torch.from_numpy(self.packed.images[self.rows[first : first + AT_A_TIME]])


def not_compiled(network: nn.Module) -> contextlib.AbstractContextManager:
    """Without what torch.compile made of a backbone: it would compile anew for other shapes."""
    backbone = getattr(network, "backbone", network)
    if getattr(backbone, "_compiled_call_impl", None) is None:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode: no dropout, no statistics of a batch; afterwards each of its
    modules is in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _test_images(run: Training, data: Path) -> Packed | None:
    """The in-distribution test set; None where it is not packed, no error of a training."""
    settings = run.settings
    try:
        chosen = settings.packed(settings.in_distribution, settings.test_split)
        return open_set(data, chosen, "images.npy")
    except UserError as error:
        say(f"{settings.run}: the sensitivity is not followed: {error}")
        return None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # else the steps before would count as looking
