"""Instance discrimination by noise-contrastive estimation: equations 4.5 to 4.9."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def nce_loss(own: Tensor, noise: Tensor, log_normaliser: Tensor, images: int) -> Tensor:
    """Equation 4.9, a mean over the images: -log h(v_i, v) - sum_j log(1 - h(v_j, v)).

    own: (B,) v . v_i / T, of each image with what the memory has of itself; noise: (B, M)
    v . v_j / T with M others; log_normaliser: log Z, Z the denominator of equation 4.5; images: N.
    By equation 4.8 h = p / (p + M P_n) with p = exp(v . v_i / T) / Z and P_n = 1 / (N - 1), the
    chance of another image to be drawn; so log h = log sigmoid(log p - log(M P_n)). Returns a
    scalar >= 0.
    """
    log_noise = math.log(noise.shape[1] / (images - 1))
    right = F.logsigmoid(own - log_normaliser - log_noise)
    wrong = F.logsigmoid(log_noise + log_normaliser - noise)
    return -(right + wrong.sum(1)).mean()
