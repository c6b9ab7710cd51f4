"""Rotation prediction (section 4.4.2): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.methods.settings import Crops
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.whole_batch import WholeBatchSettings


class RotationSettings(WholeBatchSettings):
    """The sections of `methods.rotation`."""

    PASSES = 12.0  # four rotations, forward and backward
    WORK = 0.065

    training: SgdTraining = Field(description="how long, in which batches, at which rates")
    views: Crops = Field(description="what is turned by 0, 90, 180 and 270 degrees")


declare(
    "method",
    "rotation",
    "ssl_ood.methods.rotation.method:Rotation",
    title="Rotation prediction",
    notes="""A network tells by which of four angles an image was turned (equation 4.4). Its
    features are those of the upright image before the last layer.""",
    settings=RotationSettings,
    source="paper",
    max_devices=1,
    offers=frozenset({"features", "images", "rotations"}),
)
