"""Scores of autoencoders: how badly an image is reconstructed (tables 5.2, 7.1, 7.2)."""

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


@register(
    "score",
    "igd",
    title="IGD",
    notes="mean of the reconstruction error and of the latents' Gaussian descriptor",
    needs={"igd"},
    embedding="igd",
)
def igd(test: Tensor, train: Tensor) -> Tensor:
    """1/2 (w (1 - MS-SSIM) + (1 - w) L1) + 1/2 (1 - exp(-|z - c|^2 / sigma)), (N,) float64 >= 0.

    test: (N, 2), the two of them, see `methods.igd`. Chen et al. (2022). The centre and width of
    the training images' latents are those of the training.
    """
    return test.double().mean(1)


@register(
    "score",
    "absolute_error",
    title="absolute error",
    notes="mean absolute error of the reconstruction",
    needs={"autoencoding"},
    embedding="autoencoding",
)
def absolute_error(test: Tensor, train: Tensor) -> Tensor:
    """mean_p |x_p - x'_p| over the pixels p, (N,) float64 >= 0.

    test: (N, 1), see `methods.turns.Autoencoded`. Training images play no part.
    """
    return test[:, 0].double()


@register(
    "score",
    "code_error",
    title="code error",
    notes="mean squared difference between the codes of an image and of its reconstruction",
    needs={"recoding"},
    embedding="recoding",
)
def code_error(test: Tensor, train: Tensor) -> Tensor:
    """mean_k (z_k - z'_k)^2, (N,) float64 >= 0.

    test: (N, 1), see `methods.one_class_gan`. Training images play no part.
    """
    return test[:, 0].double()


@register(
    "score",
    "lacking_attention",
    title="lacking attention",
    notes="1 minus the mean attention that the latents pay to the image",
    needs={"attention"},
    embedding="attention",
)
def lacking_attention(test: Tensor, train: Tensor) -> Tensor:
    """1 - mean_p A_p over the places p of the attention map A, (N,) float64 in 0..1.

    test: (N, 1), see `methods.cavga`. Training images play no part.
    """
    return test[:, 0].double()
