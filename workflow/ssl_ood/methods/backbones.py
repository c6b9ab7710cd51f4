"""The backbones of all methods: timm's, and the weights that they start from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.methods.positions import resample_as_the_reference
from ssl_ood.methods.settings import Backbone


def build_backbone(backbone: Backbone, **more: object) -> nn.Module:
    """A timm model without its classifier: (N, 3, S, S) -> pooled features (N, num_features).

    more: for timm.create_model, over the backbone's own options. Weights are drawn from torch's
    global generator. Raises UserError where timm cannot make it, or it has no class token or no
    position embeddings for what is asked of them.
    """
    import timm

    options = backbone.options | more
    try:
        network = timm.create_model(backbone.name, pretrained=False, num_classes=0, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UserError(
            f"timm cannot make the backbone {backbone.name} with {backbone.options}: "
            f"{str(error).rstrip('.') or 'it does not say why'}."
        ) from None
    if backbone.cls_token_std is not None:
        _draw_class_token(network, backbone)
    if backbone.position == "bicubic":
        resample_as_the_reference(network, backbone.name)
    return network


def _draw_class_token(network: nn.Module, backbone: Backbone) -> None:
    token = getattr(network, "cls_token", None)
    if token is None:
        raise UserError(
            f"The backbone {backbone.name} has no class token: leave out backbone.cls_token_std."
        )
    nn.init.trunc_normal_(token, std=backbone.cls_token_std)


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
