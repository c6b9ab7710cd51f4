"""Uncertainty-predicting autoencoder (Mao et al., 2020; table 5.2): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Pair, Share
from ssl_ood.methods.settings import Backbone, Crops, Fault, Training
from ssl_ood.methods.whole_batch import WholeBatchSettings

HALVINGS = 4  # strided convolutions of the encoder


class UaeTraining(Training):
    """Adam on the likelihood of every pixel under a normal distribution."""

    betas: Pair[Share] = Field(description="decay rates of Adam's two moving averages")


class Autoencoder(Backbone):
    """The autoencoder itself, in place of a network of timm."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["uae"] = Field(description="the only one")
    width: Count = Field(description="channels after the first convolution; at most four times")
    hidden: Count = Field(description="width of the fully connected layer on either side")
    latents: Count = Field(description="numbers that an image is reduced to")


class UaeSettings(WholeBatchSettings):
    """The sections of `methods.uae`."""

    WORK = 0.01

    training: UaeTraining = Field(description="how long, in which batches, at which rates")
    views: Crops = Field(description="what is reconstructed, in grey")
    backbone: Autoencoder = Field(description="the autoencoder")

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        if self.views.size % 2**HALVINGS:
            yield (
                "views.size",
                f"{self.views.size} cannot be halved {HALVINGS} times: write a multiple of "
                f"{2**HALVINGS}.",
            )


declare(
    "method",
    "uae",
    "ssl_ood.methods.uae.method:Uae",
    title="UAE",
    notes="""An autoencoder of grey images that predicts for every pixel a mean and a variance: the
    error counts less where it is expected. Its features are the latents.""",
    settings=UaeSettings,
    source="code",
    max_devices=1,
    offers=frozenset({"features", "images", "reconstruction"}),
)
