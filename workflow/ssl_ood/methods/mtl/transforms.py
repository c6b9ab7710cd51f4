"""The transformations whose kinds a network of MTL tells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_ood.methods.ccd.augment import cut_perm
from ssl_ood.views.colours import blur_radius, gaussian_blur

SIGMAS = (1.0, 2.0)  # of the blurs, pixels


def transformed(name: str, views: Tensor, kinds: Tensor) -> Tensor:
    """(N, C, S, S) views, each given its kind of a transformation; kinds: (N,) int64.

    Kind 0 is the view as it is.
    """
    return _MAKE[name](views, kinds)


def _rotated(views: Tensor, kinds: Tensor) -> Tensor:
    copies = [torch.rot90(views, turns, (2, 3)) for turns in range(4)]
    return _chosen(copies, kinds)


def _permuted(views: Tensor, kinds: Tensor) -> Tensor:
    return cut_perm(views.permute(0, 2, 3, 1), kinds).permute(0, 3, 1, 2)


def _blurred(views: Tensor, kinds: Tensor) -> Tensor:
    radius = blur_radius(max(SIGMAS))
    blurs = [gaussian_blur(views, views.new_full((len(views),), s), radius) for s in SIGMAS]
    return _chosen([views, *blurs], kinds)


def _chosen(copies: list[Tensor], kinds: Tensor) -> Tensor:
    """Of K copies of N views that of each view's kind."""
    rows = torch.arange(len(kinds), device=kinds.device)
    return torch.stack(copies)[kinds, rows]


_MAKE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rotation": _rotated,
    "permutation": _permuted,
    "blur": _blurred,
}
