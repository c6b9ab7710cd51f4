"""Geometric transformations with labels (Hendrycks et al., 2019; table 6.1): declaration."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import NotNegative, Share
from ssl_ood.methods.sgd import SgdTraining
from ssl_ood.methods.supervised.settings import SupervisedSettings


class GeometricTraining(SgdTraining):
    """A class of the upright image and the rotation of all its copies."""

    rotation_weight: NotNegative = Field(description="weight of the loss that tells the rotation")
    dropout: Share = Field(
        description="share of the activations between the convolutions of a block that are dropped"
    )


class GeometricSettings(SupervisedSettings):
    """The sections of `methods.geometric`."""

    PASSES = 12.0  # four rotations, forward and backward
    WORK = 0.16

    training: GeometricTraining = Field(description="how long, in which batches, at which rates")


declare(
    "method",
    "geometric",
    "ssl_ood.methods.geometric.method:Geometric",
    title="Geometric",
    notes="""A classifier of the in-distribution classes that also tells by which of four angles an
    image was turned. It needs labels.""",
    settings=GeometricSettings,
    source="code",
    max_devices=1,
    labels=True,
    offers=frozenset({"features", "images", "logits", "rotations"}),
)
