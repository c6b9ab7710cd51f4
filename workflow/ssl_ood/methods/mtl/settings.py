"""Shifting transformation learning (Mohseni et al., 2021; table 6.1): declaration and settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import NotNegative, Positive
from ssl_ood.methods.simclr.settings import ContrastiveTraining, SimclrSettings

# Kinds of each transformation, the first of which changes nothing.
TRANSFORMATIONS = {"rotation": 4, "permutation": 4, "blur": 3}
PASS = 0.008  # of a ResNet-18 over 32 pixels, against self-distillation of 256, by operations


class MtlTraining(ContrastiveTraining):
    """Contrastive learning beside telling transformations."""

    contrastive_weight: NotNegative = Field(description="weight of the contrastive loss")
    transformations: Annotated[
        dict[Literal["rotation", "permutation", "blur"], Positive], Field(min_length=1)
    ] = Field(
        description="weight of the loss that tells a transformation's kinds, by its name: rotation "
        "(by 0, 90, 180, 270 degrees), permutation (of halves, four), blur (none, 1 or 2 pixels)"
    )


class MtlSettings(SimclrSettings):
    """The sections of `methods.mtl`."""

    training: MtlTraining = Field(description="how long, in which batches, at which rates")

    def passes(self, negatives: int) -> float:
        """Two views and one of each transformation, forward and backward."""
        return 3.0 * (2 + len(self.training.transformations))

    def work(self, negatives: int) -> float:
        return PASS * self.passes(negatives)


declare(
    "method",
    "mtl",
    "ssl_ood.methods.mtl.method:Mtl",
    title="MTL",
    notes="""SimCLR, and for each of several transformations a head that tells which of its kinds
    an image was given: a weighted sum of all losses. Written after the paper's abstract, no
    reproduction: its search for transformations and weights is not built, and those of the config
    are our choice.""",
    settings=MtlSettings,
    source="abstract",
    max_devices=1,
    offers=frozenset({"features", "images", "transformations"}),
)
