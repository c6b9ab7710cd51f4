"""Inpainting (section 4.3.1; Pathak et al., 2016): its declaration and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Settings
from ssl_ood.methods.settings import Crops, Fault
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings


class HoleViews(Crops):
    """An image with a square hole."""

    hole: Count = Field(description="side of the hole, pixels")
    place: Literal["centre", "random"] = Field(
        description="where it is: in the middle, or drawn for every image"
    )


class DecoderHead(Settings):
    """Transposed convolutions from the last maps of the backbone to pixels."""

    width: Count = Field(description="channels before the last layer; doubled with every halving")


class InpaintingSettings(WholeBatchSettings):
    """The sections of `methods.inpainting`."""

    PASSES = 3.6  # forward and backward, of the backbone and of a decoder of a fifth of its cost
    WORK = 0.03

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: HoleViews = Field(description="what has a hole")
    head: DecoderHead = Field(description="from features to pixels")

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        if self.views.hole >= self.views.size:
            yield (
                "views.hole",
                f"{self.views.hole} leaves nothing of a view of views.size {self.views.size}: "
                "lower it.",
            )


declare(
    "method",
    "inpainting",
    "ssl_ood.methods.inpainting.method:Inpainting",
    title="Inpainting",
    notes="""A square is cut out of an image and an autoencoder fills it: the squared error in the
    hole, equation 4.1. The features are the pooled ones of the encoder.""",
    settings=InpaintingSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
