"""The loss of IGD: reconstruction, Gaussian descriptor and the critic of interpolated latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_ood.methods.igd.ssim import ms_ssim

NEAREST = 0.1  # a coordinate of the centre is no nearer to 0, where it is met by weights of 0
NARROWEST = 1.0  # of the descriptor


def reconstruction(
    images: Tensor,
    rebuilt: Tensor,
    extent: float,
    *,
    weight: float,
    window: int,
    scales: Sequence[float],
) -> Tensor:
    """w (1 - MS-SSIM) + (1 - w) mean |x - x'| / extent, (N,) of each image, at least 0.

    images, rebuilt: (N, C, S, S); extent: largest less smallest value of a normalised pixel.
    """
    absolute = (images - rebuilt).abs().flatten(1).mean(1) / extent
    return weight * (1 - ms_ssim(images, rebuilt, window, scales, extent)) + (1 - weight) * absolute


def descriptor(latents: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """1 - exp(-|z - c|^2 / sigma), (N,) in 0..1 of latents (N, d).

    centre: c (d,); width: sigma (), see `estimate`.
    """
    return 1 - torch.exp(-((latents - centre) ** 2).sum(1) / width)


def estimate(total: Tensor, squares: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (d,) and width () of latents: their mean, and their mean squared distance to it.

    total: (d,) sum of all; squares: sum of their squared lengths; count: how many. A coordinate of
    the centre is at least 0.1 away from 0, the width at least 1, as in the authors' code.
    """
    mean = total / count
    centre = torch.where(mean < 0, mean.clamp_max(-NEAREST), mean.clamp_min(NEAREST))
    width = squares / count - 2 * (centre * mean).sum() + (centre**2).sum()
    return centre, width.clamp_min(NARROWEST)


def interpolated(latents: Tensor, share: Tensor) -> Tensor:
    """a z + (1 - a) z', z' being the latents of the batch in reverse; share: a (N, 1) in 0..0.5."""
    return share * latents + (1 - share) * latents.flip(0)


def fooling(of_interpolated: Tensor) -> Tensor:
    """mean D(x_a)^2: the critic is to see no interpolation in images of interpolated latents."""
    return (of_interpolated**2).mean()


def critic_loss(of_interpolated: Tensor, share: Tensor, of_mixed: Tensor) -> Tensor:
    """mean (D(x_a) - a)^2 + mean D(x' + g (x - x'))^2: the critic is to see how much was
    interpolated, and none in mixtures of an image and its reconstruction.

    All (N,).
    """
    return ((of_interpolated - share) ** 2).mean() + (of_mixed**2).mean()
