"""BYOL (section 4.5.2; Grill et al., 2020): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Pair, Share
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.simsiam.settings import SimsiamSettings


class ByolTraining(SgdTraining):
    """A prediction of what a slowly moving average of the network says."""

    teacher_momentum: Pair[Share] = Field(
        description="momentum of the target network's moving average, cosine [from, to]"
    )


class ByolSettings(SimsiamSettings):
    """The sections of `methods.byol`."""

    PASSES = 8.0  # two views, forward and backward, and forward by the target network
    WORK = 0.065

    training: ByolTraining = Field(description="how long, in which batches, at which rates")

    @property
    def momentum(self) -> tuple[float, float]:
        return self.training.teacher_momentum


declare(
    "method",
    "byol",
    "ssl_ood.methods.byol.method:Byol",
    title="BYOL",
    notes="""From one view of an image the vector is predicted that a moving average of the network
    gives of the other; there are no negatives. The features are the pooled ones of the online
    encoder.""",
    settings=ByolSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
