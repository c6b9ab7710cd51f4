"""A study that fits into a number of hours: which seeds, how many epochs, which targets.

    ssl_ood plan --hours 8          # of config.yaml; writes budget.yaml, to be laid over it

What is given up, in this order, until the rest fits: seeds, down to the first; epochs, of all
trainings alike, down to a quarter; tables and figures, of which those that come first in the config
are kept first; then epochs again, down to one. A training that has ended costs nothing, unless it
is shortened. The proposal is a function of the config, the hours, the speeds and what has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.study.costs import (
    aligned,
    chosen_targets,
    device_hours,
    evaluation_seconds,
    speeds,
    to_train,
    trained_for,
)
from ssl_ood.study.gaps import Gaps, find_gaps
from ssl_ood.study.layers import merge
from ssl_ood.study.runs import Experiments, Run

RESERVE = 0.1  # of the hours: packing, the start of processes, tables and figures
QUARTER = 25  # percent of the epochs, below which a target is rather left out
LEVELS = (QUARTER, 10, 0)  # percent; 0: one epoch
Path = tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """seeds: how many of every list are kept; percent: of the epochs; targets: that are kept;
    hours: by the clock, of what is still to be trained and evaluated."""

    seeds: int
    percent: int
    targets: tuple[str, ...]
    hours: float


class Budget:
    """Prices plans of one config.

    reread: the experiments of the config with a layer laid over it; names: of the targets that are
    asked for, none for those of `all`; at_once: trainings that run side by side.
    """

    def __init__(
        self, reread: Callable[[dict], Experiments], names: list[str], at_once: int
    ) -> None:
        self.reread, self.at_once = reread, at_once
        self.asked = reread({})
        self.speeds = speeds(self.asked)
        self.evaluation = evaluation_seconds(self.asked) / 3600
        targets = chosen_targets(self.asked, names) or self.asked.usual
        closed = (_with_shown(self.asked, target.name) for target in targets)
        self.names = list(dict.fromkeys(chain(*closed)))
        config = self.asked.config
        lists = [config.seeds, *(t.seeds or () for t in config.targets.values())]
        self.seeds = max(map(len, lists))  # of the longest list

    @cache  # noqa: B019, a budget lives as long as the command
    def experiments(self, seeds: int) -> Experiments:
        """The experiments with so many seeds of every list."""
        return self.reread(seeds_layer(self.asked, seeds))

    @cache  # noqa: B019
    def _runs(self, seeds: int, target: str) -> dict[str, tuple[Run, bool]]:
        """The runs that a target needs and that can be trained, and whether they have been."""
        experiments = self.experiments(seeds)
        runs = self._gaps(seeds).runs(trained_for([experiments.targets[target]]))
        pending = {run.id for run in to_train(experiments, runs)}
        return {run.id: (run, run.id in pending) for run in runs}

    @cache  # noqa: B019
    def _gaps(self, seeds: int) -> Gaps:
        return find_gaps(self.experiments(seeds))

    def hours(self, seeds: int, percent: int, targets: Iterable[str]) -> dict[str, float]:
        """Device hours of every run that is to be trained for these targets, by its id. One that is
        shortened is, whatever has been trained."""
        by_run = {}
        for name in targets:
            for run, pending in self._runs(seeds, name).values():
                epochs = run.settings.training.epochs
                fewer = shortened(epochs, percent)
                if pending or fewer != epochs:
                    whole = device_hours(self.asked, run, self.speeds)
                    by_run[run.id] = whole * fewer / epochs if epochs else 0.0
        return by_run

    def plan(self, seeds: int, percent: int, targets: Iterable[str]) -> Plan:
        """What these targets take with so many seeds and percent of the epochs."""
        kept = tuple(targets)
        return Plan(seeds, percent, kept, self.clock(self.hours(seeds, percent, kept).values()))

    def clock(self, hours: Iterable[float]) -> float:
        """Hours by the clock, at most, in whatever order trainings of so many hours are started."""
        each = [one + self.evaluation for one in hours]
        longest = max(each, default=0.0)
        return (sum(each) - longest) / self.at_once + longest


def shortened(epochs: int, percent: int) -> int:
    """So many percent of the epochs, one at least of what is trained at all."""
    return max(epochs * percent // 100, 1) if epochs else 0


def seeds_layer(experiments: Experiments, count: int) -> dict[str, Any]:
    """A layer of the config with the first `count` seeds of every list of them."""
    config = experiments.config
    layer: dict[str, Any] = {"seeds": list(config.seeds[:count])}
    for name, target in config.targets.items():
        if target.seeds is not None and len(target.seeds) > count:
            seeds = {name: {"seeds": list(target.seeds[:count])}}
            layer = merge(layer, {f"{config.kind_of(name)}s": seeds})
    return layer


def check_hours(hours: float) -> None:
    """Raises UserError for hours that are no number above 0."""
    if not (math.isfinite(hours) and hours > 0):
        raise UserError(f"--hours {hours:g}: write how many hours there are, a number above 0.")


def propose(budget: Budget, hours: float) -> Plan:
    """The plan that gives up least, in the order that stands at the top.

    Raises UserError for hours that are too few for anything.
    """
    room, every = hours * (1 - RESERVE), budget.names
    whole = [(seeds, 100) for seeds in range(budget.seeds, 0, -1)]
    for seeds, percent in [*whole, *((1, p) for p in range(99, QUARTER - 1, -1))]:
        plan = budget.plan(seeds, percent, every)
        if plan.hours <= room:
            return plan
    targets = budget.experiments(1).targets
    trained = {name for name in every if targets[name].trains and budget.hours(1, 0, [name])}
    for level in LEVELS:
        kept = _kept(budget, level, room)
        if trained & {*kept}:
            plans = [(seeds, 100) for seeds in range(budget.seeds, 0, -1)]
            plans += [(1, percent) for percent in range(99, level - 1, -1)]
            priced = (budget.plan(*choice, kept) for choice in plans)
            return next(plan for plan in priced if plan.hours <= room)
    raise UserError(_too_few(budget, hours, sorted(trained)))


def _kept(budget: Budget, percent: int, room: float) -> tuple[str, ...]:
    """The targets that fit, in the order of the config; with each those whose runs it shows."""
    kept: tuple[str, ...] = ()
    for name in budget.names:
        more = [n for n in _with_shown(budget.asked, name) if n not in kept]
        if budget.plan(1, percent, (*kept, *more)).hours <= room:
            kept = (*kept, *more)
    return tuple(name for name in budget.asked.targets if name in kept)


def _with_shown(experiments: Experiments, name: str) -> list[str]:
    """A target after those whose runs it shows, which cannot be optional where it is not."""
    others = experiments.targets[name].settings.runs_of
    return [*(n for other in others for n in _with_shown(experiments, other)), name]


def _too_few(budget: Budget, hours: float, names: list[str]) -> str:
    plans = [budget.plan(1, 0, _with_shown(budget.asked, name)) for name in names]
    least = min(plans, key=lambda plan: plan.hours)
    return (
        f"{hours:g} hours are too few: the least that shows a trained model, {least.targets[-1]} "
        f"with one epoch of each of its trainings, takes {least.hours / (1 - RESERVE):.2g} hours "
        "here: give it more time, or take smaller networks or fewer images."
    )


# ---- what the proposal is


def overlay(budget: Budget, plan: Plan) -> dict[str, Any]:
    """The proposal as a layer of the config, to be laid over what it was made from. What is left
    out is optional there: it is made by its name alone."""
    layer, config = seeds_layer(budget.asked, plan.seeds), budget.asked.config
    if plan.percent < 100:
        for path, (_, fewer) in epochs_of(budget, plan).items():
            layer = merge(layer, nested(path, fewer))
    for name, target in config.targets.items():
        if target.optional == (name in plan.targets):
            kind = f"{config.kind_of(name)}s"
            layer = merge(layer, {kind: {name: {"optional": not target.optional}}})
    return layer


def epochs_of(budget: Budget, plan: Plan) -> dict[Path, tuple[int, int]]:
    """(asked, proposed) epochs and warm-ups, by the keys that lead to them, of the kept targets."""
    proposals: dict[Path, tuple[int, int]] = {}
    targets = budget.experiments(plan.seeds).targets
    for run in trained_for([targets[name] for name in plan.targets]):
        training = run.settings.training
        if not training.epochs:
            continue
        fewer = shortened(training.epochs, plan.percent)
        _enter(proposals, run, "training.epochs", training.epochs, fewer)
        if training.warmup_epochs:
            warmup = min(training.warmup_epochs * plan.percent // 100, fewer - 1)
            _enter(proposals, run, "training.warmup_epochs", training.warmup_epochs, warmup)
    return dict(sorted(proposals.items()))


def _enter(proposals: dict, run: Run, key: str, asked: int, proposed: int) -> None:
    path = run.path_of(key)
    if path is not None:
        proposals[path] = (asked, min(proposed, proposals.get(path, (0, proposed))[1]))


def nested(path: Path, value: Any) -> dict[str, Any]:
    """{a: {b: value}} for the path (a, b)."""
    for key in reversed(path):
        value = {key: value}
    return value


def describe(budget: Budget, plan: Plan, hours: float) -> str:
    """One table of what is kept, shortened and left out, for a person to read."""
    asked, proposed = budget.asked.config.seeds, budget.experiments(plan.seeds).config.seeds
    rows = [("", "asked", "proposed", ""), _changed("seeds", _listed(asked), _listed(proposed))]
    for path, (before, after) in epochs_of(budget, plan).items():
        if path[-1] == "epochs":
            rows.append(_changed(".".join(path), str(before), str(after)))
    rows += [_of_target(budget, plan, name) for name in budget.names]
    totals = [
        _told(budget, budget.hours(*choice))
        for choice in ((budget.seeds, 100, budget.names), (plan.seeds, plan.percent, plan.targets))
    ]
    rows.append(("together", *totals, ""))
    known = [f"{study} {name} {v:,.3g}" for (study, name), v in sorted(budget.speeds.items())]
    assumed = f"assumed, {budget.asked.config.execution.images_per_second:,.3g} images/s"
    return (
        f"{aligned(rows)}\n\n{plan.hours:,.3g} of {hours:g} hours by the clock, trainings side by "
        f"side: {budget.at_once}; {RESERVE:.0%} are for packing, tables and figures. Speed "
        + (f"measured here, images/s: {', '.join(known)}." if known else f"{assumed}.")
    )


def _of_target(budget: Budget, plan: Plan, name: str) -> tuple[str, str, str, str]:
    before = budget.hours(budget.seeds, 100, [name])
    if name not in plan.targets:
        return name, _told(budget, before), "", "left out"
    after = budget.hours(plan.seeds, plan.percent, [name])
    verdict = "kept" if before == after else "shortened"
    return name, _told(budget, before), _told(budget, after), verdict


def _told(budget: Budget, hours: dict[str, float]) -> str:
    unit = "GPU hours" if budget.asked.config.execution.devices else "CPU hours"
    return f"{len(hours)} to train, {sum(hours.values()):,.3g} {unit}" if hours else "no training"


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _changed(name: str, before: str, after: str) -> tuple[str, str, str, str]:
    return name, before, after, "kept" if before == after else "shortened"
