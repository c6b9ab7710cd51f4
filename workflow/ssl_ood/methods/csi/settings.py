"""CSI: contrasting shifted instances (Tack et al., 2020): its declaration and its settings."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, NotNegative
from ssl_ood.methods.settings import Scale
from ssl_ood.methods.simclr.settings import ContrastiveTraining, ContrastiveViews, SimclrSettings
from ssl_ood.views.spec import ViewSpec


class CsiTraining(ContrastiveTraining):
    """Contrastive learning in which turned copies of an image are other images."""

    shift_weight: NotNegative = Field(description="weight of the loss that tells the rotation")
    lars: NotNegative = Field(
        description="trust coefficient of LARS, which sets the rate of each parameter by its norm; "
        "0: plain SGD"
    )


class CsiViews(ContrastiveViews):
    """Random resized crops; the score sees several of one scale."""

    crops: Count = Field(description="crops of an image that the score csi is a mean over")
    crop_scale: Scale = Field(description="share of the image's area in those [min, max]")

    @property
    def scored(self) -> ViewSpec:
        """What the score is shown: augmented, as in training, but of one scale."""
        return replace(self.spec, scale=self.crop_scale)


class CsiSettings(SimclrSettings):
    """The sections of `methods.csi`."""

    PASSES = 24.0  # two views of four rotations, forward and backward
    WORK = 0.16

    training: CsiTraining = Field(description="how long, in which batches, at which rates")
    views: CsiViews = Field(description="what the two views of a turned image are")


declare(
    "method",
    "csi",
    "ssl_ood.methods.csi.method:Csi",
    title="CSI",
    notes="""SimCLR in which an image turned by 90, 180 and 270 degrees is another image, and a
    linear layer that tells the rotations.""",
    settings=CsiSettings,
    source="code",
    max_devices=1,
    offers=frozenset({"features", "images", "csi"}),
)
