"""Generative adversarial one-class classifier (table 5.2; Tang et al., 2019): its declaration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import NotNegative
from ssl_ood.methods.adversarial import AdversarialTraining, AutoencoderSettings, Coder


class OneClassGanTraining(AdversarialTraining):
    """An autoencoder, and an encoder of what it makes, against a discriminator."""

    reconstruction_weight: NotNegative = Field(
        description="of the mean absolute error, against 1 of what the opponent says"
    )
    code_weight: NotNegative = Field(
        description="of the mean squared difference of the codes before and after"
    )


class OneClassGanCoder(Coder):
    """Encoder, decoder and second encoder."""

    name: Literal["one_class_gan"] = Field(description="the only one")


class OneClassGanSettings(AutoencoderSettings):
    """The sections of `methods.one_class_gan`."""

    WORK = 0.03

    training: OneClassGanTraining = Field(description="how long, in which batches, at which rates")
    backbone: OneClassGanCoder = Field(description="encoder and, mirrored, decoder")


declare(
    "method",
    "one_class_gan",
    "ssl_ood.methods.one_class_gan.method:OneClassGan",
    title="GAN one-class",
    notes="""An autoencoder against a discriminator of what it makes, and a second encoder of that:
    what is not normal is reconstructed worse. Its features are the codes.""",
    settings=OneClassGanSettings,
    source="abstract",
    max_devices=1,
    offers=frozenset({"features", "images", "autoencoding", "recoding"}),
)
