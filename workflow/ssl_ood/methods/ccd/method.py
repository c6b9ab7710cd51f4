"""CCD as a method of the trainer (Tian et al., MICCAI 2021; table 7.2).

What differs from the authors' code: one network learns all three losses, where theirs has no patch
position for whole images; the second patch of a pair is always within the image, where theirs is
moved back from its edge, after which its place may be another; the last layers are trained, where
theirs keep the weights that were drawn; the cosine of the rate goes by steps and not by epochs. An
epoch sees every image under one strong augmentation that is drawn, theirs under all four.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.ccd import loss as ccd
from ssl_ood.methods.ccd.augment import (
    KINDS,
    PLACES,
    cut_perm,
    draw_holes,
    draw_pairs,
    without,
)
from ssl_ood.methods.ccd.settings import CcdSettings
from ssl_ood.methods.moco.method import Encoder
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.tiles import cut
from ssl_ood.views.render import draw, render
from ssl_ood.views.transfer import to_device


class CcdNetwork(Encoder):
    """An encoder with three heads: unit vectors, strong augmentations, relative positions."""

    def __init__(self, settings: CcdSettings) -> None:
        super().__init__(settings)
        width, hidden = feature_width(self.backbone), settings.head.position
        self.kinds = nn.Linear(width, KINDS)
        self.places = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, PLACES))

    def outputs(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> unit vectors (N, out) and logits of the kinds (N, 4), float32."""
        features = self.features(views)
        vectors = nn.functional.normalize(self.head(features).float(), dim=1)
        return vectors, self.kinds(features).float()

    def positions(self, first: Tensor, second: Tensor) -> Tensor:
        """Two patches, each (N, 3, s, s) -> logits of the eight places (N, 8), float32."""
        own, other = self.features(torch.cat([first, second])).chunk(2)
        return self.places(own - other).float()


class Ccd(OneNetwork):
    """Contrast of strongly augmented images, constrained by two classifiers."""

    PARTS = ("contrastive", "permutation", "position", "permutations_told", "positions_told")

    @classmethod
    def build(cls, settings: CcdSettings) -> nn.Module:
        return CcdNetwork(settings)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """l_con + l_cls + l_pos; the parts are these and the shares that are told."""
        training, step = self.settings.training, moment.step
        kinds, views = self.strong_views(batch, rows, step)
        first, second, places = self.patch_pairs(batch, rows, step)
        with self.autocast():
            vectors, kind_logits = self.network.outputs(torch.cat(views))
            place_logits = self.network.positions(first, second)
        terms = (
            ccd.contrastive(*vectors.chunk(2), training.temperature),
            ccd.augmentation(kind_logits, kinds),
            ccd.position(place_logits, places),
        )
        weights = training.permutation_weight, training.position_weight
        told = ccd.shares(kind_logits, kinds.repeat(2)), ccd.shares(place_logits, places)
        parts = torch.stack([*(term.detach() for term in terms), *told])
        return ccd.ccd_loss(terms, weights), parts

    def strong_views(self, batch: Batch, rows: slice, step: int) -> tuple[Tensor, list[Tensor]]:
        """Strong augmentations (n,) of the rows, and two views (n, 3, S, S) of each, with holes."""
        settings, seed = self.settings.views, self.settings.seed
        rng = stream(seed, "ccd_kinds", step)
        kinds = to_device(rng.integers(0, KINDS, len(batch)), self.device)
        strong = replace(batch, images=cut_perm(batch.images, kinds))
        views = [self.views_of(strong, rows, name, step) for name in ("one", "other")]
        if settings.cutout:
            shape = len(batch), settings.size, settings.cutout
            holes = [draw_holes(*shape, stream(seed, "ccd_holes", i, step)) for i in (0, 1)]
            pairs = zip(views, holes, strict=True)
            views = [without(view, to_device(hole[rows], self.device)) for view, hole in pairs]
        return kinds[rows], views

    def patch_pairs(self, batch: Batch, rows: slice, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Two patches of each image, (n, 3, s, s) each, cropped but of the image's own colours, and
        places (n,) of the second around the first."""
        views, images = self.settings.views, batch.images
        side = min(images.shape[1:3])
        patch = max(1, views.patch * side // views.size)
        rng = stream(self.settings.seed, "ccd_patches", step)
        corners, places = draw_pairs(len(images), side, patch, rng)
        chosen = to_device(corners[rows], self.device)
        patches = cut(images[rows].permute(0, 3, 1, 2), chosen, patch).permute(1, 0, 3, 4, 2)
        spec = replace(views.spec, size=views.patch, jitter_p=0.0, grey_p=0.0)
        shown = [
            render(one, draw(spec, len(images), patch, patch, rng).rows(rows), spec)
            for one in patches
        ]
        return *shown, to_device(places[rows], self.device)

    def describe(self, line: dict[str, float]) -> str:
        return (
            f"loss {line['loss']:.4f} (contrastive {line['contrastive']:.4f}, permutation "
            f"{line['permutation']:.4f}, position {line['position']:.4f})  told: permutations "
            f"{line['permutations_told']:.1%}, positions {line['positions_told']:.1%}"
        )
