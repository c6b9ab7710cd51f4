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


@torch.no_grad()
def scale_by_trust(groups: Iterable[dict], trust: float, eps: float = 1e-8) -> None:
    """LARS (You et al., 2017): each parameter's decayed gradient times trust |p| / |gradient|.

    For every group of an SGD optimiser, in place: g <- (g + wd p) x trust |p| / (|g| + wd |p| +
    eps), and the group's weight decay, which is in it now, becomes 0 for this step. Parameters
    whose own norm or gradient is 0 keep their decayed gradient. trust 0: nothing is changed.
    """
    if trust <= 0:
        return
    for group in groups:
        decay, group["weight_decay"] = group["weight_decay"], 0.0
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            own, gradient = parameter.norm(), parameter.grad.norm()
            ratio = trust * own / (gradient + decay * own + eps)
            ratio = torch.where((own > 0) & (gradient > 0), ratio, torch.ones_like(ratio))
            parameter.grad.add_(parameter, alpha=decay).mul_(ratio)
