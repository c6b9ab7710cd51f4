"""The usual side: workers that make views, and the reference's step."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from compare import usual_views
from compare.presets import Preset
from compare.timing import now
from compare.usual_step import UsualStep
from ssl_ood.methods.dino.network import build_network

AHEAD = 2  # batches that a worker of a DataLoader prepares ahead, PyTorch's default


class Usual:
    """The reference's training on the same images, to be stepped as a whole or in parts."""

    def __init__(
        self, preset: Preset, arrays: list[np.ndarray], workers: int, device: torch.device
    ) -> None:
        self.preset, self.workers, self.device = preset, workers, device
        config, options = preset.config, preset.settings.options
        self.dataset = usual_views.Views(*arrays, options.views)
        student, teacher = build_network(options), build_network(options, drop_path=0.0)
        teacher.load_state_dict(student.state_dict())
        self.step = UsualStep(student, teacher.requires_grad_(False), config, device)
        (self.ready,) = islice(self._batches(), 1)

    def _batches(self):
        return usual_views.batches(self.dataset, self.preset.batch, self.workers, self.device)

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
        # The workers start anew in every repetition, not to run beside the other side; what they
        # made before the clock starts is used up first, as in the middle of a training.
        batches = self._batches()
        for views in islice(batches, max(1, AHEAD * self.workers)):
            use(*views)
        start = now(self.device)
        for views in islice(batches, self.preset.steps):
            use(*views)
        seconds = now(self.device) - start
        batches.close()
        return seconds
