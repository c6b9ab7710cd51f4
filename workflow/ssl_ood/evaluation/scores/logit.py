"""The output of a classifier of normal against abnormal, as a score (section 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "score",
    "logit",
    title="classifier",
    notes="output of the fine-tuned network, larger for abnormal images",
    needs={"logits"},
)
def logit(logits: Tensor) -> Tensor:
    """The single output (N, 1) of a classifier, as (N,) float64: larger, more likely abnormal.

    Training images play no part. Raises UserError where there is more than one output.
    """
    if logits.shape[1] != 1:
        raise UserError(
            f"The score logit needs one output per image, but this network has {logits.shape[1]}: "
            "take it out of evaluation.scores of a study whose method is not finetune."
        )
    return logits[:, 0].double()
