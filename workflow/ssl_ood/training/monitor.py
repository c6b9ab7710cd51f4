"""Watches whether a training learns: says early that one goes wrong, stops one that is lost.

Every so many steps (`Span.every`) the means since the last time are read from the device: only
then the host waits for it. They are lines of the log and kept in the checkpoints; the signs of the
method (`methods.signs`) judge by them and nothing else, so that a training that was resumed, or
runs on several devices, is judged alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_ood.common.distributed import average
from ssl_ood.common.errors import UserError
from ssl_ood.methods.signs import Finding, Sign, Span
from ssl_ood.training.state import Schedule, Training


class Monitor:
    """Judges a training after every `span.every` steps.

    may_stop: whether a training that is certainly lost ends, by the method's
    `training.stop_on_collapse`; a method without that setting only warns.
    """

    def __init__(self, run: Training, schedule: Schedule) -> None:
        training = run.settings.training
        self.name, self.signs = run.settings.run, run.method.signs()
        self.span = Span(schedule.steps, training.warmup_epochs * schedule.steps_per_epoch)
        self.may_stop = bool(getattr(training, "stop_on_collapse", False))

    def due(self, step: int) -> bool:
        """Whether a line of signs belongs after so many steps."""
        return step % self.span.every == 0

    def after(self, lines: list[dict[str, Any]]) -> list[Finding]:
        """What is wrong after the last of the lines. Raises UserError where the training is lost.

        The last good checkpoint stays.
        """
        check_finite(lines[-1], self.name)
        findings = judge(self.signs, lines, self.span)
        for finding in findings:
            if finding.certain and self.may_stop:
                raise UserError(f"{self.name}: {finding.text}")
        return findings


def judge(signs: Sequence[Sign], lines: Sequence[Mapping], span: Span) -> list[Finding]:
    """The findings of all signs on the lines."""
    judged = (sign.judge(lines, span) for sign in signs)
    return [finding for finding in judged if finding is not None]


def read_signs(run: Training, schedule: Schedule) -> dict[str, Any]:
    """The means of the steps since the last line, as a line of the log; begins the next."""
    average([run.recent, *run.method.shared_in_window()])
    loss, *parts, steps = run.recent.tolist()
    line = {
        "kind": "signs",
        "step": run.step,
        "epoch": run.step / schedule.steps_per_epoch,
        "loss": loss / steps,
        **{name: value / steps for name, value in zip(run.method.PARTS, parts, strict=True)},
        **run.method.window_line(round(steps)),
        "lr": float(schedule.lr[run.step - 1]),
    }
    run.recent.zero_()
    return line


def check_finite(line: dict[str, Any], run: str) -> None:
    """Raises UserError where the loss of a line is not finite. The last good checkpoint stays."""
    if not math.isfinite(line["loss"]):
        where = f" (step {line['step']})" if "step" in line else ""
        raise UserError(
            f"{run}: the loss is not finite in epoch {math.ceil(line['epoch'])}{where}. The last "
            "good checkpoint is kept; lower training.lr_base or training.clip_grad and start the "
            "run again."
        )
