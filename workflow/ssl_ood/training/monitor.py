"""Stops a training whose loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

from ssl_ood.common.errors import UserError


def check_finite(line: dict[str, Any], run: str) -> None:
    """Raises UserError where the loss of an epoch's line is not finite.

    The last good checkpoint stays.
    """
    if not math.isfinite(line["loss"]):
        raise UserError(
            f"{run}: the loss is not finite in epoch {line['epoch']}. The last good checkpoint is "
            "kept; lower training.lr_base or training.clip_grad and start the run again."
        )
