"""Scores of autoencoders: how badly an image is reconstructed (tables 5.2 and 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "score",
    "uncertain_error",
    title="UAE",
    notes="mean squared error of the reconstruction, of each pixel over its predicted variance",
    needs={"reconstruction"},
    embedding="reconstruction",
)
def uncertain_error(test: Tensor, train: Tensor) -> Tensor:
    """mean_p (x_p - mean_p)^2 / variance_p over the pixels p, (N,) float64 >= 0.

    test: (N, 2), see `methods.uae`. Mao et al. (2020). Training images play no part.
    """
    return test[:, 0].double()


@register(
    "score",
    "squared_error",
    title="squared error",
    notes="mean squared error of the reconstruction",
    needs={"reconstruction"},
    embedding="reconstruction",
)
def squared_error(test: Tensor, train: Tensor) -> Tensor:
    """mean_p (x_p - mean_p)^2 over the pixels p, (N,) float64 >= 0: an autoencoder's usual score.

    test: (N, 2), see `methods.uae`. Training images play no part.
    """
    return test[:, 1].double()
