"""Alpha-GAN (Deep AD, table 5.2; Nakao et al., 2021): its declaration and its settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Count, NotNegative, Settings
from ssl_ood.methods.adversarial import AdversarialTraining, AutoencoderSettings, Coder


class AlphaGanTraining(AdversarialTraining):
    """Autoencoder and generator against two discriminators."""

    reconstruction_weight: NotNegative = Field(
        description="lambda, of the mean absolute error, against 1 of what each opponent says"
    )


class AlphaGanCoder(Coder):
    """Encoder and generator."""

    name: Literal["alpha_gan"] = Field(description="the only one")


class CodeJudge(Settings):
    """The discriminator of codes."""

    hidden: Count = Field(description="width of its two hidden layers")


class AlphaGanSettings(AutoencoderSettings):
    """The sections of `methods.alpha_gan`."""

    WORK = 0.04

    training: AlphaGanTraining = Field(description="how long, in which batches, at which rates")
    backbone: AlphaGanCoder = Field(description="encoder and, mirrored, generator")
    head: CodeJudge = Field(description="discriminator of codes")


declare(
    "method",
    "alpha_gan",
    "ssl_ood.methods.alpha_gan.method:AlphaGan",
    title="Deep AD",
    notes="""A variational autoencoder and a GAN in one (alpha-GAN): one discriminator tells images
    from reconstructed and from drawn ones, another the codes of images from a normal distribution.
    Its features are the codes.""",
    settings=AlphaGanSettings,
    source="abstract",
    max_devices=1,
    offers=frozenset({"features", "images", "autoencoding"}),
)
