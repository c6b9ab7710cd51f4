"""The backbones of all methods: timm's, and the weights that they start from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.methods.settings import Backbone


def build_backbone(backbone: Backbone, **more: object) -> nn.Module:
    """A timm model without its classifier: (N, 3, S, S) -> pooled features (N, num_features).

    more: for timm.create_model, over the backbone's own options. Raises UserError where timm cannot
    make it.
    """
    import timm

    options = backbone.options | more
    try:
        return timm.create_model(backbone.name, pretrained=False, num_classes=0, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UserError(
            f"timm cannot make the backbone {backbone.name} with {backbone.options}: "
            f"{str(error).rstrip('.') or 'it does not say why'}."
        ) from None


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Starts a backbone from a safetensors file: its own weights, or a whole model of a run.

    Raises UserError where the file does not hold exactly the backbone's weights.
    """
    state, _ = load_tensors(path)
    prefix = "backbone."
    if any(name.startswith(prefix) for name in state):
        state = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{path} does not hold the weights of this backbone ({reason}): name another "
            "training.initial, or the backbone that these weights are of."
        ) from None
