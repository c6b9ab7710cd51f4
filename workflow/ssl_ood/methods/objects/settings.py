"""Objects against texture (section 2.2.6, figures 2.7 and 2.8): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.methods.settings import Crops, Fault, Pixels
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings


class TiledViews(Crops):
    """Images and copies of them whose tiles have changed places."""

    resize: Pixels = Field(description="side of which a view is the middle, pixels")
    tiles: Annotated[int, Field(ge=2)] = Field(description="tiles along a side")
    band: Annotated[int, Field(ge=0)] = Field(
        description="pixels on either side of a seam that are blended, of whole images, too"
    )


class ObjectsSettings(WholeBatchSettings):
    """The sections of `methods.objects`."""

    PASSES = 2.0  # forward, of an image and of its copy
    WORK = 0.12

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: TiledViews = Field(description="what the frozen network is shown")

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        views = self.views
        if views.size % views.tiles:
            yield (
                "views.size",
                f"{views.size} cannot be cut into views.tiles {views.tiles} equal parts: change "
                "one of the two.",
            )
        elif 2 * views.band >= views.size // views.tiles:
            yield (
                "views.band",
                f"{views.band} on either side of a seam leaves nothing of tiles of "
                f"{views.size // views.tiles} pixels: lower it.",
            )


declare(
    "method",
    "objects",
    "ssl_ood.methods.objects.method:Objects",
    title="Objects against texture",
    notes="""A linear layer on frozen features that tells images from copies whose tiles have
    changed places: what texture is, both have; what objects are, only the former.""",
    settings=ObjectsSettings,
    source="abstract",
    max_devices=1,
    offers=frozenset({"features", "images", "arrangements"}),
)
