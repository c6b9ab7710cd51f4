"""Momentum contrast (chapter 5): its declaration and its settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Pair, Positive, Settings, Share
from ssl_ood.methods.settings import Crops, Fault, MethodSettings, Scale
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.views.spec import ViewSpec


class MocoTraining(SgdTraining):
    """Contrastive learning with a queue; SGD with momentum."""

    temperature: Positive = Field(description="divides the cosines, equation 5.1")
    queue: Count = Field(description="keys of earlier images that serve as negatives")
    teacher_momentum: Pair[Share] = Field(
        description="momentum of the key encoder's moving average, cosine [from, to]"
    )
    batch_norm_images: int = Field(ge=2, description="images that share their batch statistics")


class MocoViews(Crops):
    """Random resized crops."""

    scale: Scale = Field(description="share of the image's area in a crop [min, max]")


class MocoHead(Settings):
    """Two linear layers to unit vectors."""

    hidden: Count = Field(description="width between the two layers")
    out: int = Field(ge=2, description="dimensions of the unit vectors")


class MocoSettings(MethodSettings):
    """The sections of `methods.moco`."""

    training: MocoTraining = Field(description="how long, in which batches, at which rates")
    views: MocoViews = Field(description="what query and key encoder are shown")
    head: MocoHead = Field(description="from features to the vectors that are compared")

    @property
    def shown(self) -> ViewSpec:
        return self.views.spec

    @property
    def together(self) -> int:
        return min(self.training.batch_norm_images, self.training.batch_size)

    def passes(self, negatives: int) -> float:
        return 4.0  # the query forward and backward, the key forward

    @property
    def momentum(self) -> tuple[float, float]:
        return self.training.teacher_momentum

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        queue, batch = self.training.queue, self.training.batch_size
        if self.training.epochs and images and queue + batch > images:
            yield (
                "training.queue",
                f"{queue} and a batch of {batch} are more than the {images} images, so that an "
                "image would often be its own negative: lower training.queue.",
            )
        if queue < batch:
            yield (
                "training.queue",
                f"{queue} is smaller than training.batch_size {batch}: raise it.",
            )
        if rows % self.together:
            yield (
                "training.batch_norm_images",
                f"{self.training.batch_norm_images} does not divide the {rows} images of a batch "
                "that a device works on: change one of them.",
            )


declare(
    "method",
    "moco",
    "ssl_ood.methods.moco.method:Moco",
    title="MoCo",
    notes="""A query and a key, two views of one image, are pulled together and apart from a queue
    of earlier keys: NT-Xent, equation 5.1. The features are the pooled ones of the query
    encoder.""",
    settings=MocoSettings,
    source="code",
    offers=frozenset({"features", "images"}),
)
