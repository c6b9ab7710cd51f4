"""Relative patch position as a method of the trainer (section 4.4; Doersch et al., 2015).

Not as in the paper: all eight pairs of the middle patch of an image are in one batch, each patch is
seen once by one network, and sizes are those of small images; gaps, moves and the dropping of
colours against shortcuts are as there. What is told of whole images, which are larger than a patch,
is up to a backbone that pools over places.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.backbones import build_backbone, feature_width
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.patches.loss import NEIGHBOURS, pairs, position_loss
from ssl_ood.methods.patches.settings import GRID, PatchSettings
from ssl_ood.methods.tiles import cut
from ssl_ood.views.transfer import to_device

NOISE = 0.01  # standard deviation of what takes the place of a colour, of normalised pixels


class TileNetwork(nn.Module):
    """A backbone that sees tiles, and two layers from the features of `together` tiles to
    `classes` logits."""

    def __init__(self, settings, together: int, classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone, settings.views.size)
        width, hidden = together * feature_width(self.backbone), settings.head.hidden
        first, norm = nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden)
        self.head = nn.Sequential(first, norm, nn.ReLU(), nn.Linear(hidden, classes))

    def features(self, views: Tensor) -> Tensor:
        """(N, 3, S, S) normalised views -> (N, d) pooled features: what the scores use."""
        return self.backbone(views)

    def of_tiles(self, tiles: Tensor) -> Tensor:
        """(N, T, 3, s, s) -> features (N, T, d)."""
        return self.backbone(tiles.flatten(0, 1)).unflatten(0, tiles.shape[:2])


class Patches(OneNetwork):
    """Cross-entropy of the position of eight patches around the middle one."""

    PARTS = ("accuracy",)

    @classmethod
    def build(cls, settings: PatchSettings) -> nn.Module:
        return TileNetwork(settings, 2, len(NEIGHBOURS))

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """See `position_loss`; the part is the share of positions that are told."""
        tiles = self.patches_of(self.views_of(batch, rows, "view", moment.step), moment.step)
        with self.autocast():
            together = pairs(self.network.of_tiles(tiles)).flatten(0, 1)
            logits = self.network.head(together).float().unflatten(0, (len(tiles), -1))
        right = torch.arange(len(NEIGHBOURS), device=logits.device)
        accuracy = (logits.detach().argmax(2) == right).float().mean()
        return position_loss(logits), accuracy[None]

    def patches_of(self, views: Tensor, step: int) -> Tensor:
        """(N, 3, S, S) -> nine patches (N, 9, 3, s, s) by rows; where they lie is drawn."""
        settings, count = self.settings.views, len(views)
        rng = stream(self.settings.seed, "patches", step)
        free = settings.size - settings.extent
        grid = rng.integers(0, free + 1, (count, 1, 2)) + settings.move
        moved = rng.integers(-settings.move, settings.move + 1, (count, GRID**2, 2))
        kept = rng.integers(0, 3, count)
        stride = settings.patch + settings.gap
        places = [(stride * row, stride * column) for row in range(GRID) for column in range(GRID)]
        corners = torch.tensor(places) + torch.from_numpy(grid + moved)
        tiles = cut(views, to_device(corners.numpy(), self.device), settings.patch)
        if not settings.drop_colours:
            return tiles
        noise = rng.normal(0, NOISE, tiles.shape).astype("float32")
        dropped = torch.arange(3)[None] != torch.from_numpy(kept)[:, None]
        dropped = to_device(dropped.numpy(), self.device)[:, None, :, None, None]
        return torch.where(dropped, to_device(noise, self.device), tiles)

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  positions told {line['accuracy']:.1%}"
