"""The usual side: workers that make views, and the reference's step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from compare import usual_views
from compare.presets import Preset
from compare.timing import now
from compare.usual_step import UsualStep
from ssl_ood.methods.dino.network import build_network

AHEAD = 2  # batches that a worker of a DataLoader prepares ahead, PyTorch's default


class Usual:
    """The reference's training on the same images, to be stepped as a whole or in parts.

    batches: a function that begins batches without end of (positive, negative) views, in place of
    the reference's; ahead: whether they are prepared beside this process; make_step: in place of
    the reference's step.
    """

    def __init__(
        self,
        preset: Preset,
        arrays: list[np.ndarray],
        workers: int,
        device: torch.device,
        batches: Callable[[], Iterator[tuple[list[Tensor], list[Tensor]]]] | None = None,
        *,
        ahead: bool = True,
        make_step: Callable = UsualStep,
    ) -> None:
        self.preset, self.device = preset, device
        self.prepared = max(1, AHEAD * workers) if ahead else 1
        config, options = preset.config, preset.settings.options
        if batches is None:
            dataset = usual_views.Views(*arrays, options.views)
            batches = partial(usual_views.batches, dataset, preset.batch, workers, device)
        self._batches = batches
        student, teacher = build_network(options), build_network(options, drop_path=0.0)
        teacher.load_state_dict(student.state_dict())
        self.step = make_step(student, teacher.requires_grad_(False), config, device)
        (self.ready,) = islice(self._batches(), 1)

    def make_views(self) -> float:
        """Seconds for views alone."""
        return self._consume(lambda positive, negative: None)

    def steps(self) -> None:
        """Steps alone, on the views that are ready."""
        for _ in range(self.preset.steps):
            self.step(*self.ready, self.preset.usual_micro)

    def train(self) -> float:
        """Seconds for both together: the workers go on while the step runs."""
        return self._consume(lambda *views: self.step(*views, self.preset.usual_micro))

    def _consume(self, use) -> float:
        # The workers start again in every repetition, not to run beside the other side; what they
        # made before the clock starts is used up first, as in the middle of a training.
        batches = self._batches()
        for views in islice(batches, self.prepared):
            use(*views)
        start = now(self.device)
        for views in islice(batches, self.preset.steps):
            use(*views)
        seconds = now(self.device) - start
        batches.close()
        return seconds
