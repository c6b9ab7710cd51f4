"""Watches whether a training learns, and stops one that does not with a sentence that says so."""

from __future__ import annotations

import math

from ssl_ood.common.errors import UserError

PATIENCE = 3  # epochs in a row
MEAN_COLLAPSED = 0.05  # share of log K below which the mean output is one soft-class
STILL_UNIFORM = 0.995  # share of log K above which an output says nothing
UNIFORM_ALLOWED = 0.5  # share of the epochs in which outputs may still be uniform


def check_learning(history: list[dict], config: dict) -> None:
    """Raises UserError where the losses are not finite or the teacher has collapsed.

    history: one line an epoch as `trainer.finish_epoch` makes it. The last good checkpoint stays.
    """
    run, last = config["run"], history[-1]
    if not math.isfinite(last["loss"]):
        raise UserError(
            f"{run}: the loss is not finite in epoch {last['epoch']}. The last good checkpoint is "
            "kept; lower training.lr_base or training.clip_grad and start the run again."
        )
    recent = history[-PATIENCE:]
    if not config["training"].get("stop_on_collapse") or len(recent) < PATIENCE:
        return
    if all(line["entropy_of_mean"] < MEAN_COLLAPSED * line["log_k"] for line in recent):
        raise UserError(
            f"{run}: the teacher has collapsed to one soft-class (entropy of the mean output "
            f"{last['entropy_of_mean']:.3f} of log K = {last['log_k']:.2f} nats in epoch "
            f"{last['epoch']}). Raise training.teacher_temperature or lower training.lr_base."
        )
    started = last["epoch"] > UNIFORM_ALLOWED * config["training"]["epochs"]
    if started and all(e["teacher_entropy"] > STILL_UNIFORM * e["log_k"] for e in recent):
        raise UserError(
            f"{run}: the teacher's outputs are still uniform in epoch {last['epoch']} (entropy "
            f"{last['teacher_entropy']:.3f}, log K = {last['log_k']:.3f} nats): nothing is "
            "learned. Lower training.teacher_temperature, or train longer or with a higher lr_base."
        )
