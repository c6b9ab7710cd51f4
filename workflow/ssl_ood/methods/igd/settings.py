"""Interpolated Gaussian descriptor (Chen et al., 2022; table 7.2): declaration and settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Many, NotNegative, Pair, Positive, Settings, Share
from ssl_ood.methods.settings import Backbone, Crops, Fault, Training
from ssl_ood.methods.whole_batch import WholeBatchSettings

SIDE = 4  # of the maps that the decoder begins with, pixels


class IgdTraining(Training):
    """Adam on reconstruction, descriptor and the critic of interpolated latents."""

    betas: Pair[Share] = Field(description="decay rates of Adam's two moving averages")
    ssim_weight: Share = Field(
        description="weight of 1 - MS-SSIM in the reconstruction error; the rest is that of the "
        "mean absolute error"
    )
    ssim_window: int = Field(ge=3, description="side of the Gaussian window of SSIM, pixels")
    ssim_scales: Annotated[Many[Positive], Field(min_length=1)] = Field(
        description="exponents of MS-SSIM, one for each scale, each of half the one before"
    )
    interpolation_weight: NotNegative = Field(
        description="weight of what the critic sees in images of interpolated latents"
    )
    critic_mix: Share = Field(
        description="share of the image in the mixture with its reconstruction that the critic is "
        "to take for a reconstruction"
    )
    descriptor_epochs: Count = Field(
        description="epochs between two estimates of the mean and width of the latents"
    )


class IgdBackbone(Backbone):
    """The encoder before its last layer."""

    frozen: bool = Field(description="whether it keeps the weights that it starts from")


class LatentHead(Settings):
    """From features to latents, and from latents to images."""

    latents: Count = Field(description="numbers that an image is reduced to")
    width: Count = Field(
        description="channels of the decoder's last maps and of the critic's first ones; eight "
        "times as many at most"
    )


class IgdSettings(WholeBatchSettings):
    """The sections of `methods.igd`."""

    PASSES = 44.0  # of the encoder; mostly of the decoder, twice, and of the critic, three times
    WORK = 1.5

    training: IgdTraining = Field(description="how long, in which batches, at which rates")
    views: Crops = Field(description="what is reconstructed")
    backbone: IgdBackbone = Field(description="the encoder")
    head: LatentHead = Field(description="latents, decoder and critic")

    @property
    def doublings(self) -> int:
        """How often the decoder doubles the side of its maps."""
        return round(math.log2(self.views.size / SIDE))

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        size, training = self.views.size, self.training
        if self.doublings < 2 or SIDE * 2**self.doublings != size:
            yield (
                "views.size",
                f"{size} is not {SIDE} doubled at least twice: write 16, 32, 64, 128 or 256.",
            )
        if training.ssim_window % 2 == 0:
            yield (
                "training.ssim_window",
                f"{training.ssim_window} has no pixel in its middle: write an odd number.",
            )
        smallest = (training.ssim_window - 1) * 2 ** (len(training.ssim_scales) - 1)
        if size <= smallest:
            yield (
                "training.ssim_scales",
                f"has {len(training.ssim_scales)} scales, for which windows of "
                f"{training.ssim_window} pixels need views of more than {smallest}: shorten the "
                "list, or lower training.ssim_window.",
            )


declare(
    "method",
    "igd",
    "ssl_ood.methods.igd.method:Igd",
    title="IGD",
    notes="""An autoencoder whose latents are drawn to their mean, and whose images of interpolated
    latents are to pass a critic that estimates how much was interpolated. Its features are the
    latents. The encoder starts from ImageNet's classifier or from another run, such as one of
    ccd.""",
    settings=IgdSettings,
    source="code",
    max_devices=1,
    offers=frozenset({"features", "images", "igd"}),
)
