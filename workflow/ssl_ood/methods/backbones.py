"""The backbones of all methods: timm's, and the weights that they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import load_tensors
from ssl_ood.methods.positions import resample_as_the_reference
from ssl_ood.methods.settings import Backbone


def build_backbone(backbone: Backbone, image_size: int | None = None, **more: object) -> nn.Module:
    """A timm model without its classifier: (N, 3, S, S) -> pooled features (N, feature_width).

    image_size: pixels of the largest images that it is to take, for networks that have to know it;
    a convolutional one takes images of any size. more: for timm.create_model, over the backbone's
    own options. Weights are drawn from torch's global generator. Raises UserError where timm cannot
    make it, or it has no class token, position embeddings or first layers for what is asked of
    them.
    """
    options = backbone.options | more
    attempts = [options]
    if image_size is not None:  # refused by others before a single weight is drawn
        attempts.insert(0, options | {"img_size": image_size, "dynamic_img_size": True})
    for attempt in attempts:
        try:
            network = _create(backbone, attempt)
            break
        except TypeError as error:
            reason = error
    else:
        raise _not_made(backbone, reason)
    if backbone.stem == "cifar":
        _small_stem(network, backbone)
    if backbone.cls_token_std is not None:
        _draw_class_token(network, backbone)
    if backbone.position == "bicubic":
        resample_as_the_reference(network, backbone.name)
    if _takes_channels_last(network):
        network.to(memory_format=torch.channels_last)
    return network


def _takes_channels_last(network: nn.Module) -> bool:
    """Whether its convolutions, faster with channels last, all have whole vectors of channels.

    Their outputs then have the order of their weights. With 4 channels, oneDNN's kernels for AVX2
    write beyond their memory in the backward pass (PyTorch 2.15), which they do not with 8, so that
    every width has to be a multiple of 8. Vision transformers stay as timm makes them.
    """
    if hasattr(network, "num_prefix_tokens"):
        return False
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    return all(m.out_channels % 8 == 0 for m in convolutions)


def feature_width(network: nn.Module) -> int:
    """Dimensions of the pooled features of a timm model; 0 for one that does not say."""
    return getattr(network, "head_hidden_size", None) or getattr(network, "num_features", 0)


def _create(backbone: Backbone, options: dict[str, Any]) -> nn.Module:
    """Raises TypeError for an option that the network does not have, UserError for all else."""
    import timm

    try:
        return timm.create_model(backbone.name, pretrained=False, num_classes=0, **options)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _not_made(backbone, error) from None


def _not_made(backbone: Backbone, error: Exception) -> UserError:
    return UserError(
        f"timm cannot make the backbone {backbone.name} with {backbone.options}: "
        f"{str(error).rstrip('.') or 'it does not say why'}."
    )


def _small_stem(network: nn.Module, backbone: Backbone) -> None:
    """Puts a 3 x 3 convolution of stride 1, drawn as timm draws, in place of a ResNet's first
    convolution, and nothing in place of its max pooling: an image of 32 pixels keeps its size."""
    # A pre-activated ResNet of timm has both in its `stem`.
    within = getattr(network, "stem", network)
    convolution, pooling = ("conv1", "maxpool") if within is network else ("conv", "pool")
    first = getattr(within, convolution, None)
    if not isinstance(first, nn.Conv2d) or not hasattr(within, pooling):
        raise UserError(
            f"The backbone {backbone.name} does not begin with one convolution and a max pooling: "
            "leave out backbone.stem."
        )
    small = nn.Conv2d(3, first.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    setattr(within, convolution, small)
    setattr(within, pooling, nn.Identity())


def _draw_class_token(network: nn.Module, backbone: Backbone) -> None:
    token = getattr(network, "cls_token", None)
    if token is None:
        raise UserError(
            f"The backbone {backbone.name} has no class token: leave out backbone.cls_token_std."
        )
    nn.init.trunc_normal_(token, std=backbone.cls_token_std)


def patch_tokens(backbone: nn.Module, views: Tensor) -> Tensor:
    """(N, 3, s, s) views -> tokens (N, P, d) of a vision transformer's patches, without the class
    token, after its final norm.

    Raises UserError for a backbone that has no tokens.
    """
    prefix = getattr(backbone, "num_prefix_tokens", None)
    tokens = backbone.forward_features(views) if prefix is not None else None
    if tokens is None or tokens.ndim != 3:
        raise UserError(
            f"The backbone {type(backbone).__name__} has no patch tokens: only vision transformers "
            "have."
        )
    return tokens[:, prefix:]


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
