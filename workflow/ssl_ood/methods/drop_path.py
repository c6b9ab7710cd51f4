"""Stochastic depth whose draws can be given, so that they do not depend on how a batch is cut into
micro-batches and shared out to devices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Leaves out a residual branch for some images of a batch and scales it up for the others.

    drop_prob: probability that an image's branch is left out, in training only. Without `given`
    draws it draws from torch's global generator, as timm's module of this name does.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.given: Tensor | None = None  # (N,) factors of the next pass

    def forward(self, branch: Tensor) -> Tensor:
        """(N, ...) -> the same, each row times 0 or 1 / (1 - drop_prob)."""
        if not self.training or self.drop_prob == 0:
            return branch
        factors = self.given
        if factors is None:
            keep = 1 - self.drop_prob
            factors = torch.empty(len(branch), device=branch.device).bernoulli_(keep) / keep
        return branch * factors.to(branch.dtype).view(-1, *[1] * (branch.ndim - 1))


def replace_drop_paths(backbone: nn.Module) -> list[DropPath]:
    """Puts a DropPath in place of each of timm's; all of them, in the order of their layers."""
    from timm.layers import DropPath as Timms

    replaced = []
    for parent in backbone.modules():
        for name, child in parent.named_children():
            if isinstance(child, Timms):
                ours = DropPath(child.drop_prob)
                setattr(parent, name, ours)
                replaced.append(ours)
    return replaced


def draw_factors(
    paths: list[DropPath], views: int, images: int, rng: np.random.Generator
) -> np.ndarray:
    """Factors (len(paths), views, images) float32 for all views of a whole batch."""
    keep = np.array([1 - path.drop_prob for path in paths], np.float32)[:, None, None]
    drawn = rng.random((len(paths), views, images), dtype=np.float32)
    return (drawn < keep) / keep
