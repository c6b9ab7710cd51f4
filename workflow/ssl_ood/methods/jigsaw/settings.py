"""Jigsaw puzzles (section 4.4.1; Noroozi and Favaro, 2016): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Settings
from ssl_ood.methods.settings import Crops, Fault, Pixels
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings

GRID = 3  # tiles on a side


class JigsawViews(Crops):
    """An image of which a tile is cut out of each of nine cells."""

    tile: Pixels = Field(description="side of a tile, pixels; it lies anywhere in its cell")


class JigsawHead(Settings):
    """Two linear layers from the features of nine tiles to the permutations."""

    hidden: Count = Field(description="width between the two layers")
    permutations: int = Field(
        ge=2, le=1000, description="orders of the tiles that are told apart, of 362,880"
    )


class JigsawSettings(WholeBatchSettings):
    """The sections of `methods.jigsaw`."""

    WORK = 0.02

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: JigsawViews = Field(description="what tiles are cut out of")
    head: JigsawHead = Field(description="from the features of nine tiles to their order")

    def passes(self, negatives: int) -> float:
        """Nine tiles, forward and backward, by their pixels."""
        return 3 * GRID**2 * (self.views.tile / self.views.size) ** 2

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        cell = self.views.size // GRID
        if self.views.tile > cell:
            yield (
                "views.tile",
                f"{self.views.tile} is more than the {cell} pixels of a cell, a third of "
                "views.size: lower it.",
            )


declare(
    "method",
    "jigsaw",
    "ssl_ood.methods.jigsaw.method:Jigsaw",
    title="Jigsaw",
    notes="""A network tells in which of some far-apart orders it sees nine tiles of an image
    (equations 4.2 and 4.3). Its features are those of the whole image.""",
    settings=JigsawSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
