"""The loss of an autoencoder that predicts its own uncertainty: equation 2 of Mao et al. (2020)."""

from __future__ import annotations

from torch import Tensor


def errors(images: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Squared errors (N,) of each image, a mean over its pixels: over the variance, and as it is.

    images, mean, log_variance: (N, 1, S, S).
    """
    squared = (images - mean) ** 2
    weighted = (-log_variance).exp() * squared
    return weighted.flatten(1).mean(1), squared.flatten(1).mean(1)


def uncertain_loss(images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The mean over images and pixels of (x - mean)^2 / variance + log variance.

    Twice the negative log-density of a normal distribution but for log 2 pi; of any sign.
    """
    return errors(images, mean, log_variance)[0].mean() + log_variance.mean()
