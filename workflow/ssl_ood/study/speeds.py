"""How fast this machine trains runs that nobody has trained here: a short measurement, kept.

`ssl_ood speed` makes a few steps of one run of each kind in a process of its own; what it finds is
kept in `speeds.json` of the results, so that the same plan is the same tomorrow. A training that
has ended here tells its own speed, which goes before (`costs.speeds`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ssl_ood.common.devices import driver_version, usable_cores
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.common.hashing import sha256_of_value
from ssl_ood.common.log import say
from ssl_ood.study.runs import Experiments, Run

FILE = "speeds.json"
Kind = tuple[str, str]  # study, in-distribution dataset


def side_by_side(experiments: Experiments) -> int:
    """Trainings that run at the same time: one on a GPU, on a processor as many as it has cores
    for."""
    execution = experiments.config.execution
    return 1 if execution.devices else max(usable_cores() // execution.threads.train, 1)


def measured(experiments: Experiments) -> dict[Kind, float]:
    """Images per second of one device as measured here, converted to one negative per image."""
    kept = _kept(experiments)
    kinds = {kind: _fingerprint(experiments, run) for kind, run in _kinds(experiments).items()}
    return {kind: kept[mark] for kind, mark in kinds.items() if mark in kept}


def measure(experiments: Experiments, runs: Iterable[Run], known: Iterable[Kind]) -> bool:
    """Measures and keeps the speed of every kind of these runs that is not known.

    Returns False where the config asks for a GPU that this machine has not. As many processes
    measure at the same time as trainings would run. Raises UserError where the measurement fails.
    """
    needed = {(run.study, run.in_distribution) for run in runs if run.settings.training.epochs}
    kinds = {k: r for k, r in _kinds(experiments).items() if k in needed - {*known}}
    if not kinds:
        return True
    execution = experiments.config.execution
    if execution.devices and driver_version() is None:
        return False
    shown = ", ".join(f"{study} {name}" for study, name in kinds)
    say(f"measuring the speed of {len(kinds)} kinds of trainings, seconds each: {shown}")
    command = [sys.executable, "-m", "ssl_ood", "speed", "-"]
    command += ["--device", "cuda" if execution.devices else "cpu"]
    command += ["--threads", str(min(execution.threads.train, usable_cores()))]
    command += ["--micro-batch", str(execution.micro_batch)]
    request = json.dumps([run.training_config for run in kinds.values()])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [
        subprocess.Popen(command, text=True, **pipes) for _ in range(side_by_side(experiments))
    ]
    for process in processes:  # all read before any of them is waited for
        process.stdin.write(request)
        process.stdin.close()
        process.stdin = None
    measurements = [_told(process) for process in processes]
    kept = _kept(experiments)
    for i, run in enumerate(kinds.values()):
        slowest = min(speeds[i] for speeds in measurements) * run.settings.work
        kept[_fingerprint(experiments, run)] = float(f"{slowest:.3g}")
    write_json(Path(experiments.config.results_dir) / FILE, kept)
    return True


def _told(process: subprocess.Popen) -> list[float]:
    out, err = process.communicate()
    if process.returncode:
        last = (err.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"The speed of the trainings could not be measured: {last}")
    return [json.loads(line)["images_per_second"] for line in out.splitlines()]


def _kinds(experiments: Experiments) -> dict[Kind, Run]:
    """The run that speaks for each kind: its first one that is trained at all."""
    runs_of: dict[Kind, Run] = {}
    for run in experiments.runs.values():
        if run.settings.training.epochs:
            runs_of.setdefault((run.study, run.in_distribution), run)
    return runs_of


def _fingerprint(experiments: Experiments, run: Run) -> str:
    """The same for runs that take as long an image: neither their length nor their seed counts."""
    execution, plain = experiments.config.execution, run.settings.to_dict()
    parts = {key: plain.get(key) for key in ("method", "size", "backbone", "head")}
    views = {k: v for k, v in plain["views"].items() if k not in ("mean", "std")}
    training = {key: plain["training"][key] for key in ("batch_size", "precision")}
    place = [execution.devices, execution.threads.train, str(execution.micro_batch)]
    place += [usable_cores(), side_by_side(experiments)]
    return sha256_of_value([parts, views, training, len(run.settings.negatives), place])[:16]


def _kept(experiments: Experiments) -> dict[str, float]:
    try:
        recorded = json.loads((Path(experiments.config.results_dir) / FILE).read_text("utf-8"))
        return {str(mark): float(speed) for mark, speed in recorded.items() if float(speed) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
