"""Schedules of the training as arrays, one value per step (or per epoch); DINO's shapes."""

from __future__ import annotations

import numpy as np


def cosine(start: float, end: float, steps: int) -> np.ndarray:
    """(steps,) from `start` at step 0 towards `end`, half a cosine: weight decay, momentum."""
    return end + 0.5 * (start - end) * (1 + np.cos(np.pi * np.arange(steps) / max(steps, 1)))


def warmup_cosine(peak: float, end: float, warmup: int, steps: int) -> np.ndarray:
    """(steps,) linear from 0 to `peak` over `warmup` steps, then cosine to `end`: learning rate."""
    warmup = min(warmup, steps)
    return np.concatenate([np.linspace(0, peak, warmup), cosine(peak, end, steps - warmup)])


def linear(start: float, end: float, epochs: int) -> np.ndarray:
    """(epochs,) from `start` in the first epoch to `end` in the last: the teacher temperature."""
    return np.linspace(start, end, epochs)
