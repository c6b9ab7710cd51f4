"""SimSiam (section 4.5.2; Chen and He, 2021): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Settings
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.simclr.settings import ContrastiveViews
from ssl_ood.methods.whole_batch import WholeBatchSettings


class PredictorHead(Settings):
    """A projector of two linear layers and a predictor of two, batch-normalised."""

    hidden: Count = Field(description="width between the two layers of the projector")
    out: Count = Field(description="dimensions of the vectors that are compared")
    predictor: Count = Field(description="width between the two layers of the predictor")


class SimsiamSettings(WholeBatchSettings):
    """The sections of `methods.simsiam`."""

    PASSES = 6.0  # two views, forward and backward
    WORK = 0.05

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: ContrastiveViews = Field(description="what the two views of an image are")
    head: PredictorHead = Field(description="from features to what is compared")


declare(
    "method",
    "simsiam",
    "ssl_ood.methods.simsiam.method:Simsiam",
    title="SimSiam",
    notes="""From one view of an image the vector of the other is predicted, which gets no gradient;
    there are no negatives. The features are the pooled ones of the encoder.""",
    settings=SimsiamSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
