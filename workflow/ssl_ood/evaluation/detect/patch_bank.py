"""Patch tokens of training images, and how far the patches of an image are from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_ood.common.streams import stream
from ssl_ood.evaluation.detect.detector import Detector
from ssl_ood.evaluation.features import in_blocks
from ssl_ood.methods.precision import products

PLACE, ANYWHERE = "place", "anywhere"
BANK_IMAGES, BANK_BYTES, BANK_TOKENS = 1000, 64 << 20, 8192


@dataclass(frozen=True)
class Bank:
    """Unit tokens (B, P, d) of training images at P places, on the device of the model."""

    tokens: Tensor

    @property
    def anywhere(self) -> Tensor:
        """(T, d): tokens of all places, evenly taken."""
        flat = self.tokens.flatten(0, 1)
        rows = torch.linspace(0, len(flat) - 1, min(BANK_TOKENS, len(flat)), device=flat.device)
        return flat[rows.round().long()]

    def heat(self, tokens: Tensor, rule: str) -> Tensor:
        """(N, P) in 0..2 of unit tokens (N, P, d): how far each is from the nearest of the bank."""
        if rule == ANYWHERE:
            bank = self.anywhere
            return 1 - torch.stack([(one @ bank.T).amax(1) for one in tokens])
        places = [(tokens[:, p] @ self.tokens[:, p].T).amax(1) for p in range(self.tokens.shape[1])]
        return 1 - torch.stack(places, dim=1)


def unit_tokens(detector: Detector, pixels: np.ndarray) -> Tensor:
    """Unit patch tokens (N, P, d) float32 on the device, of (N, S, S, 3) uint8 images."""

    def tokens(block: Tensor) -> Tensor:
        return F.normalize(detector.model.patch_tokens(detector.model.views(block)).float(), dim=2)

    with products("float32"):
        return torch.cat(in_blocks(pixels, detector.device, tokens)).to(detector.device)


def make_bank(detector: Detector, images: np.ndarray, seed: int = 0) -> Bank:
    """The bank of a seeded sample of (M, S, S, 3) uint8 training images, of bounded size."""
    first = unit_tokens(detector, images[:1])
    most = max(1, BANK_BYTES // (first[0].numel() * 4))
    count = min(len(images), BANK_IMAGES, most)
    rows = np.sort(stream(seed, "heat map bank").permutation(len(images))[:count])
    return Bank(unit_tokens(detector, np.asarray(images[rows])))
