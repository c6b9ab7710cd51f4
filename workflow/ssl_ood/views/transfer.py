"""Host arrays on the device, without waiting for what the device still has to do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on the device; on a CPU it shares the array's memory.

    To a GPU by way of pinned memory: a copy from any other may wait for the work before it.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
