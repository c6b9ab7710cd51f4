"""Fine-tuning a classifier of normal against abnormal (chapter 5): declaration and settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, Rising, Share
from ssl_ood.methods.settings import Crops, Fault, Pixels
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings


class FinetuneTraining(SgdTraining):
    """Binary cross-entropy; SGD with momentum."""

    labels: Count | None = Field(
        None, description="images whose labels are used, drawn at random; without it all"
    )


class FinetuneViews(Crops):
    """The middle of an image, turned, shifted and zoomed."""

    resize: Pixels = Field(description="side of which a view is the middle, pixels")
    shift: Share = Field(description="largest shift, as a share of the side")
    zoom: Rising = Field(description="zoom [min, max]")


class FinetuneSettings(WholeBatchSettings):
    """The sections of `methods.finetune`."""

    training: FinetuneTraining = Field(description="how long, in which batches, at which rates")
    views: FinetuneViews = Field(description="what the classifier is shown")

    @property
    def labels(self) -> int | None:
        return self.training.labels

    def faults(self, images: int, rows: int) -> Iterator[Fault]:
        yield from super().faults(images, rows)
        batch = self.training.batch_size
        if rows == batch and self.training.epochs and images % batch == 1:
            yield (
                "training.batch_size",
                f"{batch} leaves one of {images} images for the last batch of an epoch, and one "
                "image has no batch statistics: change it.",
            )


declare(
    "method",
    "finetune",
    "ssl_ood.methods.finetune.method:Finetune",
    title="Fine-tuned classifier",
    notes="""All weights of a pre-trained encoder and one linear layer to the logit of "abnormal",
    trained with binary cross-entropy. The features are the logits.""",
    settings=FinetuneSettings,
    source="paper",
    max_devices=1,
    labels=True,
    offers=frozenset({"features", "images", "logits"}),
)
