"""The losses of alpha-GAN (Rosca et al., 2017, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ssl_ood.methods.turns import told_apart


def coder_loss(error: Tensor, judged: Sequence[Tensor], weight: float) -> Tensor:
    """weight x |x - x'| + sum over what is judged of -log D + log(1 - D).

    error: the mean absolute error; judged: logits (N,) of the reconstructed images, of those that
    codes from the prior became, and of the codes of images. With D = sigmoid(l), the two logarithms
    are -l.
    """
    return weight * error - sum(logits.mean() for logits in judged)


def judges_loss(images: Sequence[Tensor], codes: Sequence[Tensor]) -> Tensor:
    """Both cross-entropies of telling what is real from what was made.

    images: logits (N,) of images, of reconstructed and of drawn ones; codes: of codes from the
    prior and of those of images. The former of each is real.
    """
    return told_apart(images[0], images[1:]) + told_apart(codes[0], codes[1:])
