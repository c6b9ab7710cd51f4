"""How weights are updated: clipped gradients, decayed or not, and moving averages of them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_teacher(teacher: Iterable[Tensor], student: Iterable[Tensor], momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, parameter by parameter."""
    torch._foreach_lerp_(list(teacher), list(student), 1 - momentum)


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], limit: float) -> None:
    """Scales down each parameter's gradient whose norm is above `limit`, one by one.

    Without a synchronisation with the host.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if limit <= 0 or not gradients:
        return
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = (limit / (norms + 1e-6)).clamp_(max=1)
    torch._foreach_mul_(gradients, list(factors.unbind()))


def parameter_groups(module: nn.Module) -> list[dict]:
    """Parameters with weight decay first, then biases and norms (all of one axis) without."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    return [{"params": decayed, "decay": True}, {"params": plain, "weight_decay": 0.0}]
