"""The network of a run over images, block by block: their features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say
from ssl_ood.methods.base import Model
from ssl_ood.methods.precision import autocast, products
from ssl_ood.methods.settings import Precision
from ssl_ood.views.images import Images

BATCH = {"cpu": 64, "cuda": 4096}  # images at a time at most; on CUDA halved until they fit
BATCH_BYTES = 256 << 20  # of their pixels: the host holds several such blocks while it reads ahead


def extract(
    model: Model, images: np.ndarray, device: torch.device, precision: Precision = "float32"
) -> np.ndarray:
    """Features (N, d), float32 on the host, of (N, S, S, 3) uint8 images.

    precision: of the network's products; see `in_blocks`.
    """

    def features(block: Tensor) -> Tensor:
        # The views before the autocast: in bfloat16 they would lose three of their eight bits.
        views = model.views(block)
        with autocast(device, precision):
            return model.features(views).float()

    return _over(images, device, precision, features)


def embed(
    model: Model,
    name: str,
    images: np.ndarray,
    device: torch.device,
    precision: Precision = "float32",
) -> np.ndarray:
    """What `Model.embed` gives by that name for (N, S, S, 3) uint8 images, float32 on the host."""

    def embedded(block: Tensor) -> Tensor:
        return model.embed(name, block).float()

    return _over(images, device, precision, embedded)


def _over(
    images: np.ndarray,
    device: torch.device,
    precision: Precision,
    function: Callable[[Tensor], Tensor],
) -> np.ndarray:
    with products(precision):
        return torch.cat([f.cpu() for f in in_blocks(images, device, function)]).numpy()


@torch.inference_mode()
def in_blocks(
    images: np.ndarray, device: torch.device, function: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """What `function` gives for blocks of (N, S, S, 3) uint8 images on the device, in order.

    Blocks are halved where memory runs out, while a thread reads those that come next; their size
    changes nothing but rounding. Raises UserError where one image is too much.
    """
    source = Images(images, device, resident=0)
    size = max(1, min(BATCH[device.type], BATCH_BYTES // images[0].nbytes))
    low, results = 0, []
    while low < len(images):
        rows = np.arange(low, min(low + size, len(images)))
        block = source.take(rows)
        source.expect(np.arange(rows[-1] + 1, min(rows[-1] + 1 + size, len(images))))
        try:
            results.append(function(block).cpu())
        except torch.OutOfMemoryError:
            if size == 1:
                raise UserError(
                    "The device has too little memory for the features of a single image: take "
                    "a larger device."
                ) from None
            size = (size + 1) // 2
            say(f"out of memory: {size} images at a time from here on")
            continue
        low += len(rows)
    return results
