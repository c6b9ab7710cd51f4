"""The trainings that run, from the files that they write their progress to."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from ssl_ood.common.progress import clock, describe_probe, sparkline
from ssl_ood.study.left_behind import is_alive

STALE = 60.0  # seconds without a word after which a training may have stalled


def read_trainings(folder: Path, since: float, now: float) -> list[dict[str, Any]]:
    """The trainings that wrote their progress to `folder`, by name, each with a `state`.

    state: "" (running), "stopped" (its process is gone) or "stalled? ..." (silent for long). The
    files of finished trainings are removed; those of processes that were gone before `since` (unix
    time) are passed over: the training that resumes them writes them again.
    """
    trainings = []
    for path in sorted(folder.glob("*.json")):
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            silent = now - written["updated"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being replaced, or none of ours
        here = written.get("host") == socket.gethostname()
        gone = here and not is_alive(written.get("pid", 0))
        ended = written.get("steps") and written.get("step") == written["steps"]
        if ended and (gone or silent > STALE):
            path.unlink(missing_ok=True)
            continue
        if gone and written["updated"] < since:
            continue
        stalled = f"stalled? silent for {clock(silent)}" if silent > STALE else ""
        trainings.append({"run": path.stem, **written, "state": "stopped" if gone else stalled})
    return trainings


def describe_training(training: dict[str, Any], short: bool = False) -> str:
    """`epoch 3/20  step 400/1240  loss 5.13  812 images/s  1:10 left`; if short, no epoch.

    Between them the curve of the last steps and what was seen of the features, at the end a warning
    where it goes wrong.
    """
    parts = [
        f"{name} {training[name]}/{training[of]}"
        for name, of in (("epoch", "epochs"), ("step", "steps"))
        if training.get(of) and not (short and name == "epoch" and training.get("steps"))
    ]
    if training.get("loss") is not None:
        parts.append(f"loss {training['loss']:.2f}")
    if training["state"]:
        return "  ".join([*parts, training["state"]])
    curve = training.get("curve") or {}
    if curve.get("values") and not short:
        parts.append(f"{curve['name']} {sparkline(curve['values'])}")
    parts += describe_probe(training.get("probe"))
    if training.get("images_per_second"):
        parts.append(f"{training['images_per_second']:.0f} images/s")
    if training.get("seconds_left") is not None:
        parts.append(f"{clock(training['seconds_left'])} left")
    if training.get("warning"):
        parts.append(f"WARNING: {training['warning']}")
    return "  ".join(parts)
