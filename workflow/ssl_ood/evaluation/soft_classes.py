"""The soft-classes that a teacher sorts images into, and how many of them it uses.

Twice: over the test images with the centre and the temperature of the training's end, as the thesis
has it, and over the training images with their own mean logits as the centre, as the authors' code
counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_ood.evaluation.features import BATCH
from ssl_ood.methods.base import Model


@torch.inference_mode()
def probabilities_of(model: Model, features: np.ndarray, device: torch.device) -> Tensor:
    """The teacher's probabilities (N, K) of the soft-classes, on the host, from features (N, d)."""
    blocks = torch.from_numpy(features).split(BATCH[device.type])
    return torch.cat([model.soft_classes(block.to(device)).cpu() for block in blocks])


def soft_classes(probabilities: Tensor) -> tuple[np.ndarray, dict]:
    """Mean teacher probability (K,) of every soft-class over images (N, K), and its summary.

    A soft-class is occupied where this is above the average over the K soft-classes, 1 / K
    (figure 2 of the paper of chapter 6). Entropies in nats.
    """
    mean = probabilities.double().mean(0)
    classes = len(mean)
    entropies = torch.special.entr(probabilities).sum(-1)
    return mean.numpy(), {
        "occupied": occupied(mean),
        "entropy_of_mean": torch.special.entr(mean).sum().item(),
        "mean_entropy": entropies.double().mean().item(),
        "log_k": float(np.log(classes)),
        "soft_classes": classes,
    }


@torch.inference_mode()
def occupied_around_mean(
    model: Model, features: np.ndarray, device: torch.device, temperature: float
) -> int:
    """Soft-classes that images occupy, from features (N, d), centred by the images' own mean.

    The probabilities are softmax((logits - mean logits) / temperature). In two passes, so that the
    logits of all images are never there together.
    """
    blocks = torch.from_numpy(features).split(BATCH[device.type])

    def mean_of(function: Callable[[Tensor], Tensor]) -> Tensor:
        """Mean (K,) over the images, float64."""
        return sum(
            function(model.soft_class_logits(block.to(device))).double().sum(0) for block in blocks
        ) / len(features)

    centre = mean_of(lambda logits: logits)
    return occupied(mean_of(lambda z: ((z.double() - centre) / temperature).softmax(-1)))


def occupied(mean: Tensor) -> int:
    """Soft-classes whose mean probability (K,) is above the average, 1 / K."""
    return int((mean > 1 / len(mean)).sum())
