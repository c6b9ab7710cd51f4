"""CAVGA-Ru (table 7.2; Venkataramanan et al., 2020): its declaration and its settings."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, NotNegative, Settings
from ssl_ood.methods.adversarial import AdversarialSettings, AdversarialTraining
from ssl_ood.methods.settings import Crops


class CavgaTraining(AdversarialTraining):
    """A variational autoencoder against a discriminator, with its attention all over the image."""

    adversarial_weight: NotNegative = Field(
        description="of what the opponent says, against 1 of reconstruction and prior"
    )
    attention_weight: NotNegative = Field(description="of the attention that is lacking")


class MapHead(Settings):
    """Latent maps, and the decoder from them to pixels."""

    latents: Count = Field(description="channels of the latent maps")
    width: Count = Field(
        description="channels before the last layer of the decoder, doubled towards the latents; "
        "and after the first one of the discriminator"
    )


class CavgaSettings(AdversarialSettings):
    """The sections of `methods.cavga`."""

    WORK = 0.3

    training: CavgaTraining = Field(description="how long, in which batches, at which rates")
    views: Crops = Field(description="what is reconstructed")
    head: MapHead = Field(description="latent maps and decoder")


declare(
    "method",
    "cavga",
    "ssl_ood.methods.cavga.method:Cavga",
    title="CAVGA-Ru",
    notes="""A variational autoencoder whose latents are maps, against a discriminator; its loss
    asks for attention on all of a normal image. Its features are the encoder's, pooled.""",
    settings=CavgaSettings,
    source="memory",
    max_devices=1,
    offers=frozenset({"features", "images", "autoencoding", "attention"}),
)
