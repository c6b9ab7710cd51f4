"""Glow, a normalising flow (chapter 1, table 1.1): its declaration and its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Settings, Share
from ssl_ood.methods.settings import Backbone, Fault, Pixels, Training
from ssl_ood.methods.whole_batch import WholeBatchSettings
from ssl_ood.views.spec import ViewSpec


def _grey_or_colour(channels: int) -> int:
    if channels not in (1, 3):
        raise ValueError("write 1 for grey images, 3 for colour")
    return channels


class GlowTraining(Training):
    """Maximum likelihood of dequantised images."""

    optimiser: Literal["rmsprop", "adam"] = Field(description="how the weights are updated")
    mutation: Share = Field(
        description="share of the pixels that are replaced by uniform noise: above 0 for the "
        "background model of a likelihood ratio, equation 2.1"
    )


class GlowViews(Settings):
    """Whole images, as they are."""

    size: Pixels = Field(description="side of an image, pixels")
    channels: Annotated[int, AfterValidator(_grey_or_colour)] = Field(
        description="1: the mean of red, green and blue; 3: all"
    )
    flip_p: Share = Field(description="probability of a horizontal flip")

    @property
    def spec(self) -> ViewSpec:
        """The image, pixel values in 0..1."""
        return ViewSpec(
            self.size, None, flip_p=self.flip_p, jitter_p=0.0, grey_p=0.0, blur_p=0.0,
            mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bilinear",
        )  # fmt: skip


class Flow(Backbone):
    """The flow itself, in place of a network of timm."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["glow"] = Field(description="the only one")
    levels: Count = Field(description="levels; each has half the side of the one before")
    steps: Count = Field(description="steps of a level: actnorm, 1x1 convolution, coupling")
    hidden: Count = Field(description="channels of the networks in the couplings")


class GlowSettings(WholeBatchSettings):
    """The sections of `methods.glow`."""

    training: GlowTraining = Field(description="how long, in which batches, at which rates")
    views: GlowViews = Field(description="what the flow is shown")
    backbone: Flow = Field(description="the flow")

    def work(self, negatives: int) -> float:
        """By the operations of the couplings: 0.7 for table 1.1's flow of FashionMNIST."""
        flow, pixels = self.backbone, self.views.size**2
        return flow.levels * flow.steps * flow.hidden**2 * pixels * 7e-10

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        parts = 2**self.backbone.levels
        if self.views.size % parts:
            yield (
                "views.size",
                f"{self.views.size} cannot be halved backbone.levels {self.backbone.levels} times: "
                "change one of the two.",
            )


declare(
    "method",
    "glow",
    "ssl_ood.methods.glow.method:Glow",
    title="Glow",
    notes="""A normalising flow, trained by maximum likelihood: bits per dimension of an image are
    its score, and all that its features are.""",
    settings=GlowSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images", "bits"}),
)
