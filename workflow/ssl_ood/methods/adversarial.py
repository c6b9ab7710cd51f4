"""Settings of methods whose network is trained against opponents, in turns.

The opponents learn to tell what the network makes from what it should be like; it learns from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from ssl_ood.common.settings import Count, Pair, Positive, Share
from ssl_ood.methods.settings import Backbone, Crops, Fault, Training
from ssl_ood.methods.whole_batch import WholeBatchSettings

SMALLEST = 4  # side of the last maps, pixels


def grey_or_colour(channels: int) -> int:
    """1 or 3. Raises ValueError for another number."""
    if channels not in (1, 3):
        raise ValueError("write 1 for grey images, 3 for colour")
    return channels


class AdversarialTraining(Training):
    """Adam for the network, and Adam for its opponents."""

    betas: Pair[Share] = Field(description="decay rates of Adam's two moving averages")
    opponent_rate: Positive = Field(
        description="learning rate of the opponents, as a share of the network's"
    )


class Reconstructed(Crops):
    """What is reconstructed."""

    channels: Annotated[int, AfterValidator(grey_or_colour)] = Field(
        description="1: the mean of red, green and blue; 3: all"
    )


class Coder(Backbone):
    """The encoder itself, in place of a network of timm; the decoder is its mirror image."""

    model_config = ConfigDict(extra="forbid")

    width: Count = Field(description="channels after the first convolution; at most eight times")
    latents: Count = Field(description="numbers that an image is reduced to")


class AdversarialSettings(WholeBatchSettings):
    """Sections of a method with a discriminator, which halves an image until its side is 4."""

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        side = self.views.size
        if side <= SMALLEST or side % SMALLEST or (side // SMALLEST).bit_count() != 1:
            yield (
                "views.size",
                f"{side} is not {SMALLEST} doubled some times: write 16, 32, 64, 128 or 256.",
            )


class AutoencoderSettings(AdversarialSettings):
    """Sections of an autoencoder whose encoder halves an image as a discriminator does."""

    training: AdversarialTraining = Field(description="how long, in which batches, at which rates")
    views: Reconstructed = Field(description="what is reconstructed")
    backbone: Coder = Field(description="the encoder")
