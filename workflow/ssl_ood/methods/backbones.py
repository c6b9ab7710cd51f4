"""The networks: timm backbones, and DINO's projection head."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.errors import UserError
from ssl_ood.methods.drop_path import replace_drop_paths
from ssl_ood.views.render import ViewSpec


class Head(nn.Module):
    """MLP, L2-normalised bottleneck and a weight-normalised last layer: features to K logits.

    `layers` linear layers with GELU between, the last one into the bottleneck. The logits are
    cosines between the bottleneck and the K prototypes (rows of unit norm), so they lie in -1..1.
    """

    def __init__(self, features: int, layers: int, hidden: int, bottleneck: int, out: int) -> None:
        super().__init__()
        widths = [features, *[hidden] * (layers - 1), bottleneck]
        modules: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            modules += [nn.Linear(n_in, n_out)] + ([nn.GELU()] if i < layers - 1 else [])
        self.mlp = nn.Sequential(*modules)
        self.prototypes = nn.Parameter(torch.empty(out, bottleneck))
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.kaiming_uniform_(self.prototypes, a=5**0.5)  # as nn.Linear does

    def forward(self, features: Tensor) -> Tensor:
        """(N, d) -> (N, K)."""
        bottleneck = F.normalize(self.mlp(features).float(), dim=-1)
        # In float32 also under autocast: the losses divide the logits by temperatures down to 0.01.
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(bottleneck, F.normalize(self.prototypes, dim=-1))


class Network(nn.Module):
    """Backbone and head; `features` is what the scores use, `forward` what the losses use."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.drop_paths = replace_drop_paths(backbone)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) class token after the final norm."""
        return self.backbone(views)

    def forward(self, views: list[Tensor], factors: list[Tensor] | None = None) -> list[Tensor]:
        """Logits of several batches of views: one pass of the backbone a size, one of the head.

        factors: for each batch (len(drop_paths), N), what stochastic depth does to its rows.
        """
        features = []
        for i, batch in enumerate(views):
            for layer, path in enumerate(self.drop_paths):
                path.given = factors[i][layer] if factors else None
            features.append(self.features(batch))
        return list(self.head(torch.cat(features)).split([len(f) for f in features]))


def build_network(config: dict, *, drop_path: float | None = None) -> Network:
    """The network of a run of method dino; weights are drawn from torch's global generator.

    `drop_path` replaces the configured stochastic depth (the teacher runs without). Raises
    UserError for a backbone that timm cannot make, or views that its patches do not fill.
    """
    options = dict(config["backbone"])
    if drop_path is not None:
        options["drop_path_rate"] = drop_path
    sizes = {key: config["views"][key] for key in ("global_size", "local_size")}
    backbone = build_backbone(options, img_size=sizes["global_size"], dynamic_img_size=True)
    (patch, _) = backbone.patch_embed.patch_size
    for key, size in sizes.items():
        if size % patch:
            raise UserError(
                f"views.{key} {size} is no multiple of the backbone's patches of {patch} pixels: "
                "change one of the two."
            )
    return Network(backbone, Head(backbone.num_features, **config["head"]))


def build_backbone(options: dict, **more: object) -> nn.Module:
    """A timm model without its classifier: (N, 3, S, S) -> pooled features (N, num_features).

    options: `name` and what timm.create_model takes. Raises UserError where timm cannot make it.
    """
    import timm

    options = dict(options)
    name = options.pop("name")
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, **more, **options)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"timm cannot make the backbone {name} with {options}: {error}.") from None


def load_backbone(backbone: nn.Module, path: Path) -> None:
    """Starts a backbone from a safetensors file: its own weights, or a whole model of a run.

    Raises UserError where the file does not hold exactly the backbone's weights.
    """
    from safetensors.torch import load_file

    state = load_file(path)
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


def view_specs(views: dict) -> dict[str, ViewSpec]:
    """The three kinds of views of a run config: global_1, global_2 and local."""
    shared = {
        "flip_p": views["flip_p"],
        "jitter": tuple(views["jitter"]),
        "jitter_p": views["jitter_p"],
        "grey_p": views["grey_p"],
        "mean": tuple(views["mean"]),
        "std": tuple(views["std"]),
    }
    size, scale = views["global_size"], tuple(views["global_scale"])
    blur_1, blur_2, blur_local = views["blur_p"]
    return {
        "global_1": ViewSpec(size, scale, blur_p=blur_1, **shared),
        "global_2": ViewSpec(size, scale, blur_p=blur_2, solarize_p=views["solarize_p"], **shared),
        "local": ViewSpec(
            views["local_size"], tuple(views["local_scale"]), blur_p=blur_local, **shared
        ),
    }
