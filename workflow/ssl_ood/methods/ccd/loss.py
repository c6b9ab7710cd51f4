"""The loss of CCD: contrast of distribution-augmented images under two constraints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_ood.methods.simclr.loss import nt_xent


def contrastive(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """l_con: NT-Xent (equation 4.10) of two weak augmentations of each strongly augmented image.

    one, other: (N, d) unit vectors. An image under another strong augmentation is another image.
    """
    return nt_xent(one, other, temperature)


def augmentation(logits: Tensor, kinds: Tensor) -> Tensor:
    """l_cls: -log p(n), a mean over both views, n the strong augmentation of the image.

    logits: (2 N, 4) of all first views, then of all second ones; kinds: (N,) int64.
    """
    return F.cross_entropy(logits, kinds.repeat(2))


def position(logits: Tensor, places: Tensor) -> Tensor:
    """l_pos: -log p(place of the second patch around the first), a mean over images.

    logits: (N, 8); places: (N,) int64.
    """
    return F.cross_entropy(logits, places)


def ccd_loss(terms: tuple[Tensor, Tensor, Tensor], weights: tuple[float, float]) -> Tensor:
    """l_con + w_cls l_cls + w_pos l_pos, a scalar >= 0; the paper has both weights 1."""
    l_con, l_cls, l_pos = terms
    w_cls, w_pos = weights
    return l_con + w_cls * l_cls + w_pos * l_pos


def shares(logits: Tensor, right: Tensor) -> Tensor:
    """Share of the rows (N, K) whose largest logit is that of `right` (N,)."""
    return (logits.detach().argmax(1) == right).to(torch.float32).mean()
