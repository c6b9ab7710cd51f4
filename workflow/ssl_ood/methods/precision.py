"""The precision of a network's products: what `training.precision` and `evaluation.precision` mean.

`tf32`: float32 whose products round their factors to 10 bits of mantissa, on NVIDIA's GPUs since
the A100; on everything else it is float32. `bfloat16`: the passes of the networks in bfloat16, by
an autocast. `float32`: nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ssl_ood.methods.settings import Precision


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Lets matrix products and convolutions on CUDA be rounded to TF32, or not, in this block.

    Of float32, so that it matters to `tf32` and `float32`. What was set before is set again after.
    """
    kinds = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for kind, value in zip(kinds, before, strict=True):
            kind.fp32_precision = value


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The autocast around a pass of a network; it changes nothing unless `bfloat16` is asked."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
