"""How well a network tells an image from its scrambled copy (section 2.2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "score",
    "right_arrangements",
    title="right arrangements",
    notes="share of right decisions on an image and on its scrambled copy; no anomaly score: the "
    "mean over test images is an accuracy",
    needs={"arrangements"},
    embedding="arrangements",
)
def right_arrangements(test: Tensor, train: Tensor) -> Tensor:
    """([x_0 < 0] + [x_1 > 0]) / 2, (N,) float64: 0, 0.5 or 1.

    test: (N, 2), see `methods.objects`. Training images play no part.
    """
    return ((test[:, 0] < 0).double() + (test[:, 1] > 0).double()) / 2
