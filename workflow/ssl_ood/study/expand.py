"""Expands a checked config and the catalogue into runs and targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.common.settings import SCHEMA, read_settings
from ssl_ood.common.vocabulary import (
    AUXILIARY,
    BASE,
    IN_DISTRIBUTION,
    JOIN,
    NO_NEGATIVES,
    OUT_DOMAIN,
    RANDOM,
    UNTRAINED,
)
from ssl_ood.datasets.names import CROP, PackedSet, at_size
from ssl_ood.methods.settings import read_run
from ssl_ood.study.layers import merge, overridden
from ssl_ood.study.pairs import Pairs
from ssl_ood.study.runs import Experiments, Run, Target, with_initial
from ssl_ood.study.settings import Config, Evaluation


@dataclass(frozen=True)
class Key:
    """What tells a run from all others."""

    study: str
    in_distribution: str
    strategy: str
    variant: str
    seed: int

    @property
    def id(self) -> str:
        names = [self.study, self.in_distribution, self.strategy, self.variant]
        return "-".join([*names, f"seed{self.seed}"])


def expand(
    config: Config,
    plain: dict[str, Any],
    datasets: dict[str, Any],
    weights: dict[str, Any] | None = None,
) -> Experiments:
    """The runs and targets of a checked config; plain: the same as YAML has it.

    Raises UserError for a run that would be trained twice under two names.
    """
    maker = _Maker(config, plain, datasets)
    runs: dict[str, Run] = {}
    targets: dict[str, Target] = {}
    for name, settings in config.targets.items():
        chosen = [maker.run(key) for key in dict.fromkeys(keys_of(config, name))]
        baselines = {
            method: tuple(maker.run(key) for key in keys)
            for method, keys in baseline_keys(config, name).items()
        }
        for run in with_initial([*chosen, *chain(*baselines.values())]):
            runs.setdefault(run.id, run)
        kind, study = config.kind_of(name), config.studies[settings.study]
        train = [
            PackedSet(d, datasets[d].train_split, study.size, study.fit)
            for d in settings.in_distribution
        ]
        form = form_of(kind, name, settings.form)
        compared: tuple[Pairs, ...] = ()
        if "shortcuts" in lookup(kind, form).needs:
            compared = maker.pairs(name, chosen)
        targets[name] = Target(
            name,
            kind,
            form,
            settings,
            plain[f"{kind}s"][name],
            tuple(runs[run.id] for run in chosen),
            tuple(train),
            compared,
            {method: tuple(runs[run.id] for run in made) for method, made in baselines.items()},
        )
    _refuse_equal_runs(runs)
    _refuse_other_backbones(runs.values(), weights or {})
    return Experiments(config, plain, datasets, runs, targets, weights or {})


def form_of(kind: str, name: str, form: str | None) -> str:
    """The form of a target: the one it names, or its own name without table_ or figure_."""
    return form or name.removeprefix(f"{kind}_")


def keys_of(config: Config, name: str) -> Iterator[Key]:
    """The runs of a table or figure."""
    target = config.targets[name]
    for other in target.runs_of:
        yield from keys_of(config, other)
    seeds = config.seeds if target.seeds is None else target.seeds
    for dataset in target.in_distribution:
        for strategy in target.strategies_of(dataset):
            for variant, seed in product(target.variants_of(strategy), seeds):
                yield Key(target.study, dataset, strategy, variant, seed)
    if target.untrained:
        for dataset, seed in product(target.in_distribution, seeds):
            yield Key(target.study, dataset, NO_NEGATIVES, UNTRAINED, seed)


def homes_of(config: Config, name: str) -> list[str]:
    """The in-distribution datasets of a table or figure, those of its `runs_of` among them."""
    target = config.targets[name]
    others = (d for other in target.runs_of for d in config.targets[other].in_distribution)
    return list(dict.fromkeys([*target.in_distribution, *others]))


def baseline_keys(config: Config, name: str) -> dict[str, list[Key]]:
    """The runs of other studies that a table or figure shows beside its own, by their name."""
    target = config.targets[name]
    found = {}
    for method, other in target.baselines.items():
        own = [other.in_distribution.get(home, home) for home in homes_of(config, name)]
        there = config.studies[other.study].in_distribution
        named = target.seeds is not None and other.seeds == "table"
        seeds = target.seeds if named else config.seeds
        found[method] = [
            Key(other.study, dataset, other.strategy, other.variant, seed)
            for dataset, seed in product(own, seeds)
            if dataset in there
        ]
    return found


class _Maker:
    """Makes the runs of a config."""

    def __init__(self, config: Config, plain: dict[str, Any], datasets: dict[str, Any]) -> None:
        self.config, self.plain, self.datasets = config, plain, datasets
        self.made: dict[Key, Run] = {}

    def run(self, key: Key, needed_by: tuple[Key, ...] = ()) -> Run:
        """needed_by: the runs that start from this one, the nearest last."""
        if key not in self.made:
            self.made[key] = self._run(key, needed_by)
        return self.made[key]

    def _run(self, key: Key, needed_by: tuple[Key, ...]) -> Run:
        study = self.config.studies[key.study]
        entry = study.in_distribution.get(key.in_distribution)
        if entry is None:
            last = needed_by[-1]
            raise UserError(
                f"config: {last.study}/{last.variant} of {key.in_distribution} starts from a run "
                f"of study {key.study}, which has no {key.in_distribution} (it has "
                f"{', '.join(study.in_distribution)}): add it there, or start from something else."
            )
        train, test = self._packed(key, None, "train"), self._packed(key, None, "test")
        sources, pairs = self._negatives(key, train)
        places = self._layers(key)
        sections = overridden(*(layer for _, layer in places))
        if not pairs:
            options = lookup("method", study.method).settings
            sections = merge(sections, options.WITHOUT_NEGATIVES)
        kind, _, start = sections["training"].pop("initial", RANDOM).partition("/")
        initial = self._initial(key, start, needed_by) if kind == "run" else None
        identity = {
            "schema": SCHEMA,
            "run": key.id,
            "study": key.study,
            "in_distribution": key.in_distribution,
            "method": study.method,
            "strategy": key.strategy,
            "variant": key.variant,
            "seed": key.seed,
            "size": study.size,
            **({} if study.fit == CROP else {"fit": study.fit}),
            "train_split": train.split,
            "test_split": test.split,
            "negatives": pairs,
        }
        if kind != RANDOM:
            identity["initial"] = {kind: initial.id if initial else start}
        evaluation = merge(self.plain["evaluation"], study.evaluation)
        return Run(
            settings=read_run(identity | sections),
            training_config=identity | sections,
            train=train,
            test=test,
            ood=tuple(self._packed(key, name, "test") for name in entry.ood),
            beside=tuple(self._beside(key, name) for name in entry.beside),
            sources=tuple(dict.fromkeys(sources)),
            evaluation=read_settings(
                Evaluation, evaluation, f"config: studies.{key.study}.evaluation"
            ),
            evaluation_config=evaluation,
            places=places,
            weights=start if kind == "weights" else None,
            initial=initial,
            calibration=self._calibration(key, train, test),
        )

    def pairs(self, name: str, chosen: Iterable[Run]) -> tuple[Pairs, ...]:
        """What a target compares without a model: the sets of its runs, and of the in-distribution
        datasets that it names, where these have OOD sets."""
        target = self.config.targets[name]
        seeds = self.config.seeds if target.seeds is None else target.seeds
        shown = [*product(target.in_distribution, seeds)]
        shown = [*((run.in_distribution, run.seed) for run in chosen), *shown]
        pairs_of: dict[tuple[str, int | None], Pairs] = {}
        for home, seed in dict.fromkeys(shown):
            key = Key(target.study, home, NO_NEGATIVES, BASE, seed)
            study = self.config.studies[key.study]
            entry = study.in_distribution[home]
            if "{seed}" not in f"{entry.train_split} {entry.test_split}":
                seed = None
            if (home, seed) in pairs_of:
                continue
            train, test = self._packed(key, None, "train"), self._packed(key, None, "test")
            pairs_of[home, seed] = Pairs(
                key.study,
                home,
                seed,
                train,
                test,
                tuple(self._packed(key, ood, "test") for ood in entry.ood),
                merge(self.plain["evaluation"], study.evaluation)["confidence"],
            )
        return tuple(pairs for pairs in pairs_of.values() if pairs.ood)

    def _calibration(self, key: Key, train: PackedSet, test: PackedSet) -> PackedSet | None:
        """The set that thresholds are set on, where the study names a split for it."""
        entry = self.config.studies[key.study].in_distribution[key.in_distribution]
        if entry.calibration_split is None:
            return None
        packed = self._packed(key, None, "calibration")
        for role, other in (("trained on", train), ("tested", test)):
            if packed == other:
                raise UserError(
                    f"config: studies.{key.study}.in_distribution.{key.in_distribution}."
                    f"calibration_split is {packed.split}, which is {role}: name a split of its "
                    "own, or leave the key out."
                )
        return packed

    def _packed(self, key: Key, name: str | None, role: str) -> PackedSet:
        """The packed set of a dataset, of the run's own where no name is given."""
        study = self.config.studies[key.study]
        dataset = self.datasets[name or key.in_distribution]
        split = getattr(dataset, f"{role}_split", None)
        if name in (None, key.in_distribution):
            entry = study.in_distribution[key.in_distribution]
            split = getattr(entry, f"{role}_split") or split
        if split is None:
            raise UserError(
                f"config: {dataset.name} has no {role} split in the catalogue, but study "
                f"{key.study} with strategy {key.strategy} needs one: take another dataset."
            )
        split = split.format(seed=key.seed)
        dataset.split(split)
        return PackedSet(dataset.name, split, study.size, study.fit)

    def _beside(self, key: Key, name: str) -> PackedSet:
        """A further OOD set: of the study's size, or NAME@SIZE."""
        dataset, size = at_size(name)
        packed = self._packed(key, dataset, "test")
        return packed if size is None else replace(packed, size=size, own_size=True)

    def _negatives(self, key: Key, train: PackedSet) -> tuple[list[PackedSet], list[dict]]:
        """The sets that negatives come from, and the (source, split, shift) of each part."""
        entry = self.config.studies[key.study].in_distribution[key.in_distribution]
        roles = {AUXILIARY: entry.auxiliary, OUT_DOMAIN: entry.out_domain}
        sources, pairs = [], []
        for pair in self.config.strategies[key.strategy]:
            name = roles.get(pair.source, pair.source)
            if name is None:
                place = f"studies.{key.study}.in_distribution.{key.in_distribution}"
                raise UserError(
                    f"config: strategy {key.strategy} takes negatives from the {pair.source} of "
                    f"{key.in_distribution}, but {place} names none: add it."
                )
            source = train if name == IN_DISTRIBUTION else self._packed(key, name, "train")
            sources.append(source)
            part = {"source": source.dataset, "split": source.split, "shift": pair.shift}
            pairs.append(part if pair.weight == 1 else part | {"weight": pair.weight})
        return sources, pairs

    def _layers(self, key: Key) -> tuple[tuple[tuple[str, ...], dict[str, Any]], ...]:
        """(keys that lead there, settings) of the method, study, dataset and variant, each over
        those before."""
        study = self.config.studies[key.study]
        here = ("studies", key.study)
        entry = study.in_distribution[key.in_distribution]
        return (
            (("methods", study.method), self.config.methods[study.method]),
            ((*here, "override"), study.override),
            ((*here, "in_distribution", key.in_distribution, "override"), entry.override),
            *((("variants", p), self.config.variants[p]) for p in key.variant.split(JOIN)),
        )

    def _initial(self, key: Key, start: str, needed_by: tuple[Key, ...]) -> Run:
        """The run that another one starts from; start: STUDY/VARIANT."""
        study, _, variant = start.partition("/")
        path = (*needed_by, key)
        if (study, variant) in {(other.study, other.variant) for other in path}:
            raise UserError(
                f"config: the run {study}/{variant} of {key.in_distribution} would start from "
                "itself: change a training.initial."
            )
        return self.run(Key(study, key.in_distribution, NO_NEGATIVES, variant, key.seed), path)


def _refuse_equal_runs(runs: dict[str, Run]) -> None:
    seen: dict[str, str] = {}
    for run in runs.values():
        named = ("run", "strategy", "variant")
        content = repr([(k, v) for k, v in run.training_config.items() if k not in named])
        if content in seen:
            raise UserError(
                f"The runs {seen[content]} and {run.id} have the same settings and would be "
                "trained twice: take one of them out of config.yaml."
            )
        seen[content] = run.id


def _refuse_other_backbones(runs: Iterable[Run], weights: dict[str, Any]) -> None:
    for run in runs:
        own, other, origin = run.settings.backbone.name, None, None
        if run.weights in weights:
            other, origin = weights[run.weights].backbone, f"the weights {run.weights}"
        elif run.initial is not None:
            other, origin = run.initial.settings.backbone.name, f"the run {run.initial.id}"
        if other not in (None, own):
            raise UserError(
                f"config: {run.id} starts from {origin}, which has the backbone {other}, not "
                f"{own}: give both the same."
            )
