"""The two ways in which self-distillation fails: all outputs become uniform, or all the same."""

from __future__ import annotations

import math

from ssl_ood.methods.settings import RunSettings
from ssl_ood.methods.signs import Collapses, Sign, StaysAtChance


def learning_signs(settings: RunSettings) -> list[Sign]:
    """Of the teacher's entropies, both log K where outputs are uniform, both 0 where all images
    get one soft-class."""
    log_k, warmest = math.log(settings.head.out), settings.training.teacher_temperature[0]
    return [
        StaysAtChance(
            "teacher_entropy",
            log_k,
            "the teacher's outputs are uniform",
            "the teacher's outputs go back to uniform",
            f"Lower training.teacher_temperature (it begins at {warmest:g}), take smaller batches, "
            "so that an epoch has more steps, or raise training.lr_base.",
            near="the teacher's outputs stay nearly uniform",
        ),
        Collapses(
            "entropy_of_mean",
            log_k,
            f"Raise training.teacher_temperature (it begins at {warmest:g}), lower "
            "training.lr_base or raise training.warmup_epochs.",
        ),
    ]
