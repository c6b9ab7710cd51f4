"""The likelihood of an image under a generative model, as a score (chapter 1, section 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "score",
    "bits_per_dimension",
    title="bits per dimension",
    notes="-log2 p(x) / D: more bits, less likely",
    needs={"features", "bits"},
)
def bits_per_dimension(test: Tensor, train: Tensor) -> Tensor:
    """Bits per dimension (N,) float64 of the images, a flow's only feature.

    test: (N, 1). Training images play no part.
    """
    return test[:, 0].double()
