"""NPID, instance discrimination (section 4.5.1; Wu et al., 2018): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Settings, Share
from ssl_ood.methods.settings import Fault
from ssl_ood.methods.simclr.settings import ContrastiveTraining, ContrastiveViews
from ssl_ood.methods.whole_batch import WholeBatchSettings


class NpidTraining(ContrastiveTraining):
    """Every image is a class of its own; a memory holds what the network said of it last."""

    noise: int = Field(
        ge=0, description="M: other images that an image is told from, drawn anew; 0: all of them"
    )
    memory_momentum: Share = Field(
        description="share of what the memory has of an image that stays when it is seen again"
    )


class NpidHead(Settings):
    """One linear layer to unit vectors."""

    out: int = Field(ge=2, description="dimensions of the unit vectors")


class NpidSettings(WholeBatchSettings):
    """The sections of `methods.npid`."""

    WORK = 0.03

    training: NpidTraining = Field(description="how long, in which batches, at which rates")
    views: ContrastiveViews = Field(description="what the view of an image is")
    head: NpidHead = Field(description="from features to the vectors in the memory")

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        if images and self.training.noise >= images:
            yield (
                "training.noise",
                f"{self.training.noise} is more than the {images - 1} other images: lower it, or "
                "write 0 for all of them.",
            )


declare(
    "method",
    "npid",
    "ssl_ood.methods.npid.method:Npid",
    title="NPID",
    notes="""Every image is told from M others by what a memory has of them: noise-contrastive
    estimation, equation 4.9. The features are the pooled ones of the network.""",
    settings=NpidSettings,
    source="paper",
    max_devices=1,
    offers=frozenset({"features", "images"}),
)
