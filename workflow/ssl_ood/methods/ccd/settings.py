"""Constrained contrastive distribution learning (Tian et al., 2021; table 7.2): its declaration."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, NotNegative
from ssl_ood.methods.moco.settings import MocoHead
from ssl_ood.methods.settings import Fault, Pixels
from ssl_ood.methods.simclr.settings import ContrastiveTraining, ContrastiveViews, SimclrSettings


class CcdTraining(ContrastiveTraining):
    """Contrastive learning that two classifiers constrain."""

    permutation_weight: NotNegative = Field(
        description="weight of the loss that tells which halves of an image changed places"
    )
    position_weight: NotNegative = Field(
        description="weight of the loss that tells where one patch lies, seen from another"
    )


class CcdViews(ContrastiveViews):
    """Random resized crops of an image whose halves may have changed places, and patches of it."""

    cutout: int = Field(
        ge=0, description="largest side of the square that a view lacks, pixels; 0: it lacks none"
    )
    patch: Pixels = Field(
        description="side of the patches whose relative position is told, pixels of a view"
    )


class CcdHead(MocoHead):
    """Two linear layers to unit vectors, and two to the eight positions."""

    position: Count = Field(description="width between the two layers to the positions")


class CcdSettings(SimclrSettings):
    """The sections of `methods.ccd`."""

    WORK = 0.21

    training: CcdTraining = Field(description="how long, in which batches, at which rates")
    views: CcdViews = Field(description="what the two views and the two patches of an image are")
    head: CcdHead = Field(description="from features to what the three losses compare")

    def passes(self, negatives: int) -> float:
        """Two views and two patches, forward and backward, by their pixels."""
        return 6.0 + 6.0 * (self.views.patch / self.views.size) ** 2

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        views = self.views
        for key, factor in (("patch", 2), ("cutout", 1)):
            if factor * getattr(views, key) > views.size:
                yield (
                    f"views.{key}",
                    f"{getattr(views, key)} is more than views.size {views.size} allows: write "
                    f"{views.size // factor} at most.",
                )


declare(
    "method",
    "ccd",
    "ssl_ood.methods.ccd.method:Ccd",
    title="CCD",
    notes="""SimCLR of images whose upper and lower, or left and right, halves may have changed
    places; a linear layer tells which did, another head how two patches lie to each other. It makes
    features for another detector: with the method igd behind it, it is the CCD of table 7.2.""",
    settings=CcdSettings,
    source="code",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
