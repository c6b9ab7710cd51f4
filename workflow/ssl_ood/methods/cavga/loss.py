"""The losses of CAVGA without labels: a variational bound, and attention that is to expand."""

from __future__ import annotations

from torch import Tensor


def bound_loss(images: Tensor, rebuilt: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean squared error, plus KL(N(mean, variance) || N(0, 1)) of an image by its values.

    images, rebuilt: (N, C, S, S); mean, log_variance: (N, d, h, w). The negative evidence lower
    bound of images with variance 1/2, in nats for each of their values, up to a constant.
    """
    divergence = (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
    values = images[0].numel()
    return ((images - rebuilt) ** 2).mean() + divergence.mean() / values


def attention(maps: Tensor, weight: Tensor) -> Tensor:
    """Grad-CAM of the sum of the latents' means at the last maps, as a share: (N, h, w) in 0..1.

    maps: (N, C, h, w); weight: (d, C) of the 1x1 convolution that gives the d means. The gradient
    of their sum is the same at every place: sum_z weight[z, c]. A sigmoid makes shares of it, since
    the derivative of Grad-CAM's ReLU is 0 just where attention is lacking.
    """
    return (weight.sum(0)[:, None, None] * maps).sum(1).sigmoid()


def lacking(shares: Tensor) -> Tensor:
    """The attention expansion loss: 1 minus the mean attention, a scalar in 0..1."""
    return 1 - shares.mean()
