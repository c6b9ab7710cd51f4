"""Watches whether the teacher says anything, and stops a training where it does not."""

from __future__ import annotations

from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.methods.settings import RunSettings

PATIENCE = 3  # epochs in a row
MEAN_COLLAPSED = 0.05  # share of log K below which the mean output is one soft-class
STILL_UNIFORM = 0.995  # share of log K above which an output says nothing
UNIFORM_ALLOWED = 0.5  # share of the epochs in which outputs may still be uniform


def check_collapse(history: list[dict[str, Any]], settings: RunSettings) -> None:
    """Raises UserError where the teacher has collapsed. The last good checkpoint stays.

    history: one line an epoch, with `epoch`, `teacher_entropy`, `entropy_of_mean` and `log_k`.
    """
    run, training = settings.run, settings.training
    recent, last = history[-PATIENCE:], history[-1]
    if not training.stop_on_collapse or len(recent) < PATIENCE:
        return
    if all(line["entropy_of_mean"] < MEAN_COLLAPSED * line["log_k"] for line in recent):
        raise UserError(
            f"{run}: the teacher has collapsed to one soft-class (entropy of the mean output "
            f"{last['entropy_of_mean']:.3f} of log K = {last['log_k']:.2f} nats in epoch "
            f"{last['epoch']}). Raise training.teacher_temperature or lower training.lr_base."
        )
    started = last["epoch"] > UNIFORM_ALLOWED * training.epochs
    if started and all(e["teacher_entropy"] > STILL_UNIFORM * e["log_k"] for e in recent):
        raise UserError(
            f"{run}: the teacher's outputs are still uniform in epoch {last['epoch']} (entropy "
            f"{last['teacher_entropy']:.3f}, log K = {last['log_k']:.3f} nats): nothing is "
            "learned. Lower training.teacher_temperature, or train longer or with a higher lr_base."
        )
