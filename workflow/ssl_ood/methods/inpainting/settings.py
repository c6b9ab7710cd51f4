"""Inpainting (section 4.3.1; Pathak et al., 2016): its declaration and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Positive, Settings, Share
from ssl_ood.methods.adversarial import AdversarialSettings
from ssl_ood.methods.settings import Crops, Fault
from ssl_ood.methods.sgd import SgdTraining


class InpaintingTraining(SgdTraining):
    """SGD with momentum, for the network and for its opponent."""

    adversarial_weight: Share = Field(
        description="share of what the opponent says in the loss; the rest is equation 4.1"
    )
    opponent_rate: Positive = Field(
        description="learning rate of the opponent, as a share of the network's"
    )


class HoleViews(Crops):
    """An image with a square hole."""

    hole: Count = Field(description="side of the hole, pixels")
    place: Literal["centre", "random"] = Field(
        description="where it is: in the middle, or drawn for every image"
    )


class DecoderHead(Settings):
    """Transposed convolutions from the last maps of the backbone to pixels."""

    width: Count = Field(
        description="channels before the last layer, doubled with every halving; and after the "
        "first one of the opponent"
    )


class InpaintingSettings(AdversarialSettings):
    """The sections of `methods.inpainting`."""

    # Forward and backward, of the backbone and of a decoder of a fifth of its cost; the opponent is
    # passed twice in the first turn and six times in the second, each a thirtieth.
    PASSES = 3.85
    WORK = 0.03

    training: InpaintingTraining = Field(description="how long, in which batches, at which rates")
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
    hole, equation 4.1, and an opponent that tells filled images from whole ones. The features are
    the pooled ones of the encoder.""",
    settings=InpaintingSettings,
    version=2,  # with an opponent
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
