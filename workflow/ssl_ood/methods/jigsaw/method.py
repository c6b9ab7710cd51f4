"""Jigsaw puzzles as a method of the trainer (section 4.4.1; Noroozi and Favaro, 2016).

As in the paper each tile is cut from anywhere within its cell and normalised by its own mean and
deviation, so that neither edges nor brightness give its place away. Not as there: the backbone
pools each tile, the head is of two layers, and sizes are those of small images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.streams import stream
from ssl_ood.methods.base import Batch, Moment
from ssl_ood.methods.jigsaw.permutations import TILES, far_apart
from ssl_ood.methods.jigsaw.settings import GRID, JigsawSettings
from ssl_ood.methods.one_network import OneNetwork
from ssl_ood.methods.patches.method import TileNetwork
from ssl_ood.methods.tiles import cut
from ssl_ood.views.transfer import to_device


class Jigsaw(OneNetwork):
    """Cross-entropy of the order in which an image's tiles are shown: one order per step."""

    PARTS = ("accuracy",)

    @classmethod
    def build(cls, settings: JigsawSettings) -> nn.Module:
        return TileNetwork(settings, TILES, settings.head.permutations)

    def loss(self, batch: Batch, rows: slice, moment: Moment) -> tuple[Tensor, Tensor]:
        """Equation 4.2 for an order of each image; the part is the share that is told."""
        views = self.views_of(batch, rows, "view", moment.step)
        tiles, orders = self.puzzle(views, moment.step)
        with self.autocast():
            features = self.network.of_tiles(tiles).flatten(1)
            logits = self.network.head(features).float()
        accuracy = (logits.detach().argmax(1) == orders).float().mean()
        return F.cross_entropy(logits, orders), accuracy[None]

    def puzzle(self, views: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) -> normalised tiles (N, 9, 3, s, s), number k of which is the one whose
        place is entry k of the permutation, and the number (N,) of that permutation."""
        settings, count = self.settings.views, len(views)
        rng = stream(self.settings.seed, "jigsaw", step)
        cell = settings.size // GRID
        within = rng.integers(0, cell - settings.tile + 1, (count, TILES, 2))
        orders = rng.integers(0, self.settings.head.permutations, count)
        places = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID)) * cell
        corners = (places + torch.from_numpy(within)).numpy()
        shown = far_apart(self.settings.head.permutations)[orders]
        corners = corners[torch.arange(count)[:, None], shown]
        tiles = cut(views, to_device(corners, self.device), settings.tile)
        mean = tiles.mean((-2, -1), keepdim=True)
        deviation = tiles.std((-2, -1), keepdim=True, correction=0)
        return (tiles - mean) / (deviation + 1e-5), to_device(orders, self.device)

    def describe(self, line: dict[str, float]) -> str:
        return f"loss {line['loss']:.4f}  orders told {line['accuracy']:.1%}"
