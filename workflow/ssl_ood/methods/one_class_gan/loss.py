"""The loss of an autoencoder that a discriminator and a second encoder judge."""

from __future__ import annotations

from torch import Tensor

from ssl_ood.methods.turns import taken_for_real


def code_errors(codes: Tensor, again: Tensor) -> Tensor:
    """Mean squared difference of each image's codes, (N,); both (N, d)."""
    return ((codes - again) ** 2).mean(1)


def autoencoder_loss(
    error: Tensor, codes: Tensor, again: Tensor, judged: Tensor, weights: tuple[float, float]
) -> Tensor:
    """weights[0] |x - x'| + weights[1] |z - z'|^2 - log D(x').

    error: the mean absolute error; codes, again: (N, d) of the image and of its reconstruction;
    judged: logits (N,) of D for the reconstructed images.
    """
    of_codes = code_errors(codes, again).mean()
    return weights[0] * error + weights[1] * of_codes + taken_for_real(judged)
