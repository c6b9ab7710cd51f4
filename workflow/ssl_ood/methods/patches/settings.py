"""Relative patch position (section 4.4; Doersch et al., 2015): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Settings
from ssl_ood.methods.settings import Crops, Fault, Pixels
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings

GRID = 3  # patches on a side


class PatchViews(Crops):
    """An image of which nine patches are seen, with gaps between and moved about a little."""

    patch: Pixels = Field(description="side of a patch, pixels")
    gap: int = Field(ge=0, description="pixels between two patches, before they are moved")
    move: int = Field(ge=0, description="pixels by which a patch is moved at most, either way")
    drop_colours: bool = Field(
        description="whether of every patch all colours but one, drawn for the image, are noise"
    )

    @property
    def extent(self) -> int:
        """Pixels that the nine patches can take on a side."""
        return GRID * self.patch + (GRID - 1) * self.gap + 2 * self.move


class PairHead(Settings):
    """Two linear layers from the features of two patches to the eight positions."""

    hidden: Count = Field(description="width between the two layers")


class PatchSettings(WholeBatchSettings):
    """The sections of `methods.patches`."""

    WORK = 0.015

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: PatchViews = Field(description="what patches are cut out of")
    head: PairHead = Field(description="from the features of two patches to their position")

    def passes(self, negatives: int) -> float:
        """Nine patches, forward and backward, by their pixels."""
        return 3 * GRID**2 * (self.views.patch / self.views.size) ** 2

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        views = self.views
        if views.extent > views.size:
            yield (
                "views.patch",
                f"{views.patch}, with views.gap and views.move, makes {GRID} patches "
                f"{views.extent} pixels wide, more than views.size {views.size}: lower one of "
                "them.",
            )


declare(
    "method",
    "patches",
    "ssl_ood.methods.patches.method:Patches",
    title="Relative patch position",
    notes="""A network tells where the second of two patches of an image lies, of eight places
    around the first. Its features are those of the whole image.""",
    settings=PatchSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
