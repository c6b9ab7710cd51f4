"""Student and teacher: a backbone of timm and the head that sorts its features."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.dino.settings import DinoSettings
from ssl_ood.methods.drop_path import replace_drop_paths


class Head(nn.Module):
    """MLP, L2-normalised bottleneck and a weight-normalised last layer: features to K logits.

    `layers` linear layers with GELU between, the last one into the bottleneck; with `batch_norm`
    all but the last are followed by a batch normalisation over the views of all sizes, as with the
    reference's use_bn_in_head, which keeps outputs of different images apart. The logits are
    cosines between the bottleneck and the K prototypes, each times the norm of its prototype. With
    `norm_last_layer` the norms are 1, so that logits lie in -1..1; without it they are parameters
    that start at 1. They have two axes, (K, 1), as in the DINO reference, and so are decayed as
    weights are.
    """

    def __init__(
        self,
        features: int,
        layers: int,
        hidden: int,
        bottleneck: int,
        out: int,
        norm_last_layer: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        widths = [features, *[hidden] * (layers - 1), bottleneck]
        modules: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            modules.append(nn.Linear(n_in, n_out))
            if i < layers - 1:
                modules += [*([nn.BatchNorm1d(n_out)] if batch_norm else []), nn.GELU()]
        self.mlp = nn.Sequential(*modules)
        self.prototypes = nn.Parameter(torch.empty(out, bottleneck))
        self.norms = None if norm_last_layer else nn.Parameter(torch.ones(out, 1))
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
            prototypes = F.normalize(self.prototypes, dim=-1)
            return F.linear(
                bottleneck, prototypes if self.norms is None else self.norms * prototypes
            )

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the last layer."""
        return [p for p in (self.prototypes, self.norms) if p is not None]


class Network(nn.Module):
    """Backbone and head; `features` is what the scores use, `forward` what the losses use."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.drop_paths = replace_drop_paths(backbone)

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d): what the backbone pools.

        Of a vision transformer that is its class token after the final norm.
        """
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


def build_network(settings: DinoSettings, *, drop_path: float | None = None) -> Network:
    """The network of these sections; weights are drawn from torch's global generator.

    `drop_path` replaces the configured stochastic depth (the teacher runs without). Raises
    UserError for a backbone that timm cannot make.
    """
    replaced = drop_path is not None and "drop_path_rate" in settings.backbone.options
    more = {"drop_path_rate": drop_path} if replaced else {}
    backbone = build_backbone(settings.backbone, settings.views.global_size, **more)
    sizes = settings.head.model_dump(exclude={"frozen"})
    network = Network(backbone, Head(feature_width(backbone), **sizes))
    network.head.requires_grad_(not settings.head.frozen)
    return network
