"""Supervised classification (sections 2.2.1 and 2.2.2): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Settings
from ssl_ood.methods.settings import Crops
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings


class ClassesHead(Settings):
    """One linear layer."""

    classes: int = Field(ge=2, description="classes of the in-distribution set")


class SupervisedSettings(WholeBatchSettings):
    """The sections of `methods.supervised`."""

    WORK = 0.02

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: Crops = Field(description="what the classifier is shown")
    head: ClassesHead = Field(description="from features to the classes")


declare(
    "method",
    "supervised",
    "ssl_ood.methods.supervised.method:Supervised",
    title="Supervised",
    notes="""A classifier of the in-distribution classes, trained with cross-entropy. Its features
    are those before the last layer.""",
    settings=SupervisedSettings,
    source="memory",
    max_devices=1,
    labels=True,
    offers=frozenset({"features", "images", "logits"}),
)
