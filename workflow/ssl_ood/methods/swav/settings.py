"""SwAV (section 4.5.2; Caron et al., 2020): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Positive
from ssl_ood.methods.moco.settings import MocoHead
from ssl_ood.methods.simclr.settings import ContrastiveTraining, SimclrSettings


class SwavTraining(ContrastiveTraining):
    """One view's cluster is predicted from the other view."""

    epsilon: Positive = Field(description="of Sinkhorn-Knopp: smaller, harder assignments")
    rounds: Count = Field(description="of Sinkhorn-Knopp")
    freeze_prototypes_epochs: int = Field(
        ge=0, description="epochs in which the prototypes stay as they were drawn"
    )


class SwavHead(MocoHead):
    """Two linear layers to unit vectors, and the prototypes that they are compared with."""

    prototypes: int = Field(ge=2, description="clusters, K")


class SwavSettings(SimclrSettings):
    """The sections of `methods.swav`."""

    WORK = 0.05

    training: SwavTraining = Field(description="how long, in which batches, at which rates")
    head: SwavHead = Field(description="from features to the clusters")


declare(
    "method",
    "swav",
    "ssl_ood.methods.swav.method:Swav",
    title="SwAV",
    notes="""The cluster of one view of an image is predicted from the other; assignments use all
    clusters of a batch equally. The features are the pooled ones of the encoder.""",
    settings=SwavSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
