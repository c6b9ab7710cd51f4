"""SimCLR (section 4.5, equations 4.10 and 4.11): its declaration and its settings."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Positive, Share
from ssl_ood.methods.moco.settings import MocoHead
from ssl_ood.methods.settings import Crops, Scale
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings
from ssl_ood.views.spec import ViewSpec


class ContrastiveTraining(SgdTraining):
    """Contrastive learning against the other images of the batch."""

    temperature: Positive = Field(description="divides the cosines, equation 4.10")


class ContrastiveViews(Crops):
    """Random resized crops with changed colours."""

    scale: Scale = Field(description="share of the image's area in a crop [min, max]")
    rotation: float = Field(0.0, ge=0, le=180, description="largest rotation either way, degrees")
    jitter_p: Share = Field(description="probability of a colour jitter")
    grey_p: Share = Field(description="probability of a grey view")

    @property
    def spec(self) -> ViewSpec:
        return replace(super().spec, jitter_p=self.jitter_p, grey_p=self.grey_p)


class SimclrSettings(WholeBatchSettings):
    """The sections of `methods.simclr`."""

    PASSES = 6.0  # two views, forward and backward
    WORK = 0.1

    training: ContrastiveTraining = Field(description="how long, in which batches, at which rates")
    views: ContrastiveViews = Field(description="what the two views of an image are")
    head: MocoHead = Field(description="from features to the vectors that are compared")


declare(
    "method",
    "simclr",
    "ssl_ood.methods.simclr.method:Simclr",
    title="SimCLR",
    notes="""Two views of one image are pulled together and apart from the other images of the
    batch: NT-Xent, equation 4.10. The features are the pooled ones of the encoder; with the score
    `ssd` it is SSD.""",
    settings=SimclrSettings,
    source="code",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
