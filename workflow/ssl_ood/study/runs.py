"""From config.yaml to runs and targets: which models are trained, and what is made of them.

Pure Python without heavy imports: the Snakefile and every dry-run pay for this module. A run is
(study, in-distribution dataset, method, negative strategy, variant, seed) and is trained once,
whatever tables share it. A target is a table or figure that can be asked for by name.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from ssl_ood.common.errors import UserError
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
from ssl_ood.datasets.names import PackedSet

LITERAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false|null")
# Figures that show images and need no training.
PICTURES = ("figure_negatives", "figure_views", "figure_views_rsna")
FINETUNE = "finetune"  # the method whose batch statistics are those of the whole batch


@dataclass(frozen=True)
class Run:
    """One model to train, and the sets that it is scored against."""

    study: str
    in_distribution: str
    method: str
    strategy: str
    variant: str
    seed: int
    settings: dict[str, Any]  # everything that the training depends on
    train: PackedSet
    test: PackedSet
    ood: tuple[PackedSet, ...]
    sources: tuple[PackedSet, ...]  # of the negatives
    evaluation: dict[str, Any]
    weights: str | None = None  # of the catalogue, that the backbone starts from
    initial: Run | None = None  # whose backbone it starts from

    @property
    def id(self) -> str:
        return "-".join(
            [self.study, self.in_distribution, self.strategy, self.variant, f"seed{self.seed}"]
        )

    @property
    def training_config(self) -> dict[str, Any]:
        """The content of runs/{run}/config.json: an edit of anything else trains nothing again."""
        return {"run": self.id, **self._identity(), "seed": self.seed, **self.settings}

    def devices(self, available: int) -> int:
        """Devices that the training runs on, of `available` (0: the processor): the largest number
        that shares its batch out equally, and in whole groups where a method computes statistics
        over some images of the batch, or over all of them.
        """
        training = self.settings["training"]
        batch = training["batch_size"]
        together = training.get("batch_norm_images", batch if self.method == FINETUNE else 1)
        groups = batch // min(together, batch)
        return max((n for n in range(1, available + 1) if groups % n == 0), default=0)

    def summary(self) -> dict[str, Any]:
        """What tables and figures need to know of the run."""
        return {
            "run": self.id,
            **self._identity(),
            "seed": self.seed,
            "ood": [s.dataset for s in self.ood],
            "training": self.settings["training"],
        }

    def _identity(self) -> dict[str, Any]:
        names = ("study", "in_distribution", "method", "strategy", "variant")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Target:
    """A table or figure: the runs it is made from, or the packed sets where it needs no model."""

    name: str
    kind: str  # table or figure
    options: dict[str, Any]
    runs: tuple[Run, ...]
    in_distribution: tuple[PackedSet, ...]  # the training sets that its options name


@dataclass(frozen=True)
class Experiments:
    """All runs by id and all targets by name."""

    config: dict[str, Any]
    datasets: dict[str, Any]  # the catalogue
    runs: dict[str, Run]
    targets: dict[str, Target]
    weights: dict[str, Any]  # the catalogue's pre-trained ones

    def spec(self, name: str) -> dict[str, Any]:
        """What the table or figure stage is told: plain data, the rule's only parameter."""
        target, config = self.targets[name], self.config
        titles = copy.deepcopy(config.get("titles", {}))
        used = {s.dataset for run in target.runs for s in needed_sets(run)}
        used |= {s.dataset for s in target.in_distribution}
        titles["datasets"] = {n: self.datasets[n].title for n in sorted(used)}
        return {
            "name": name,
            "kind": target.kind,
            "options": target.options,
            "runs": [run.summary() for run in target.runs],
            "titles": titles,
            "strategies": {run.strategy: config["strategies"][run.strategy] for run in target.runs},
            "evaluation": self._evaluation_of(target),
            "repeats": self._repeats(target),
            "train_counts": {run.in_distribution: self.count(run.train) for run in target.runs},
            "show_reported": config["show_reported"],
            "photographs": sorted(n for n in used if self.datasets[n].photographs),
        }

    def evaluation_config(self, run: Run) -> dict[str, Any]:
        """The content of evaluation/{run}.json: the run, its OOD sets and how it is scored."""
        ood = [
            {
                "dataset": s.dataset,
                "split": s.split,
                "photographs": self.datasets[s.dataset].photographs,
            }
            for s in run.ood
        ]
        return {**run.training_config, "ood": ood, "evaluation": run.evaluation}

    def _evaluation_of(self, target: Target) -> dict[str, Any]:
        """How the runs of a target are scored: a target is of one study."""
        return target.runs[0].evaluation if target.runs else self.config["evaluation"]

    def _repeats(self, target: Target) -> str:
        """What another seed means for the runs of a target."""
        study = self.config["studies"][target.options["study"]]["in_distribution"]
        entries = [study[name] for name in {run.in_distribution for run in target.runs}]
        split = any("{seed}" in entry.get("train_split", "") for entry in entries)
        return "train/test splits" if split else "seeds"

    def images(self, run: Run) -> int:
        """Images that an epoch of a run sees, as the catalogue expects; 0 where it does not say."""
        return run.settings["training"].get("labels") or self.count(run.train)

    def count(self, packed: PackedSet) -> int:
        """Images that the catalogue expects in a packed set; 0 where it does not say."""
        return self.datasets[packed.dataset].splits[packed.split].count or 0

    def packed_sets(self) -> dict[str, PackedSet]:
        """Every packed set that some run needs, by path."""
        sets = (s for run in self.runs.values() for s in needed_sets(run))
        return {s.path: s for s in sets}


def needed_sets(run: Run) -> tuple[PackedSet, ...]:
    """The packed sets that a run is trained on and scored against."""
    return (run.train, run.test, *run.ood, *run.sources)


def load(
    config: dict[str, Any], datasets: dict[str, Any], weights: dict[str, Any] | None = None
) -> Experiments:
    """Expands a checked config (see `config_check`) and the catalogue into runs and targets.

    Raises UserError for a run that would be trained twice under two names.
    """
    runs: dict[str, Run] = {}
    targets: dict[str, Target] = {}
    entries = {**config["tables"], **config["figures"]}
    for name, options in entries.items():
        chosen = [_make_run(config, datasets, *key) for key in _run_keys(entries, name, config)]
        for run in with_initial(chosen):
            runs.setdefault(run.id, run)
        kind = "table" if name in config["tables"] else "figure"
        unique = {run.id: runs[run.id] for run in chosen}
        size = config["studies"][options["study"]]["size"]
        train = [
            PackedSet(d, datasets[d].train_split, size) for d in options.get("in_distribution", [])
        ]
        targets[name] = Target(name, kind, options, tuple(unique.values()), tuple(train))
    _refuse_equal_runs(runs)
    _refuse_other_backbones(runs.values(), weights or {})
    return Experiments(config, datasets, runs, targets, weights or {})


def _run_keys(entries: dict[str, Any], name: str, config: dict[str, Any]) -> Iterator[tuple]:
    """(study, in-distribution, strategy, variant, seed) of the runs of a table or figure."""
    options = entries[name]
    for other in options.get("runs_of", []):
        yield from _run_keys(entries, other, config)
    study = options["study"]
    seeds = options.get("seeds", config["seeds"])
    datasets = options.get("in_distribution", [])
    for dataset in datasets:
        for strategy in strategies_of(options, dataset):
            for variant, seed in product(variants_of(options, strategy), seeds):
                yield study, dataset, strategy, variant, seed
    if options.get("untrained"):
        for dataset, seed in product(datasets, seeds):
            yield study, dataset, NO_NEGATIVES, UNTRAINED, seed


def strategies_of(options: dict[str, Any], dataset: str) -> list[str]:
    """The strategies of a table or figure for a dataset: one list for all, or a list for each."""
    named = options.get("strategies", [])
    return named.get(dataset, []) if isinstance(named, dict) else named


def variants_of(options: dict[str, Any], strategy: str) -> list[str]:
    """The variants of a strategy in a table or figure; lists in the list mean all combinations."""
    named = options.get("variants", {}).get(strategy, [BASE])
    if named and isinstance(named[0], list):
        return [JOIN.join(parts) for parts in product(*named)]
    return named


def with_initial(runs: Iterable[Run]) -> Iterator[Run]:
    """The runs and those that they start from, which come first."""
    for run in runs:
        if run.initial is not None:
            yield from with_initial([run.initial])
        yield run


def _make_run(
    config, datasets, study_name, in_distribution, strategy, variant, seed, needed_by=()
) -> Run:
    """needed_by: (study, variant) of the runs that start from this one, the nearest last."""
    study = config["studies"][study_name]
    entry = study["in_distribution"].get(in_distribution)
    if entry is None:
        raise UserError(
            f"config: {'/'.join(needed_by[-1])} of {in_distribution} starts from a run of study "
            f"{study_name}, which has no {in_distribution} (it has "
            f"{', '.join(study['in_distribution'])}): add it there, or start from something else."
        )
    size = study["size"]

    def packed(name: str, role: str) -> PackedSet:
        split = getattr(datasets[name], f"{role}_split")
        if name == in_distribution:
            split = entry.get(f"{role}_split", split)
        if split is None:
            raise UserError(
                f"config: {name} has no {role} split in the catalogue, but study {study_name} with "
                f"strategy {strategy} needs one: take another dataset."
            )
        split = split.format(seed=seed)
        datasets[name].split(split)
        return PackedSet(name, split, size)

    train, test = packed(in_distribution, "train"), packed(in_distribution, "test")
    pairs, sources = [], []
    for pair in config["strategies"][strategy]:
        name = {AUXILIARY: entry.get(AUXILIARY), OUT_DOMAIN: entry.get(OUT_DOMAIN)}.get(
            pair["source"], pair["source"]
        )
        if name is None:
            raise UserError(
                f"config: strategy {strategy} takes negatives from the {pair['source']} of "
                f"{in_distribution}, but studies.{study_name}.in_distribution.{in_distribution} "
                "names none: add it."
            )
        source = train if name == IN_DISTRIBUTION else packed(name, "train")
        sources.append(source)
        shift = pair.get("shift")
        pairs.append({"source": source.dataset, "split": source.split, "shift": shift})
    settings = merge(
        config["methods"][study["method"]],
        study.get("override", {}),
        entry.get("override", {}),
        *(config["variants"][part] for part in variant.split(JOIN)),
    )
    if not pairs and "lambda" in settings["training"]:
        settings["training"]["lambda"] = 0.0  # nothing to weigh: `none` is lambda = 0
    settings |= {"size": size, "train_split": train.split, "test_split": test.split}
    settings["negatives"] = pairs
    kind, _, start = settings["training"].pop("initial", RANDOM).partition("/")
    initial = None
    if kind == "run":
        other_study, _, other_variant = start.partition("/")
        path = (*needed_by, (study_name, variant))
        if (other_study, other_variant) in path:
            raise UserError(
                f"config: the run {other_study}/{other_variant} of {in_distribution} would start "
                "from itself: change a training.initial."
            )
        key = (other_study, in_distribution, NO_NEGATIVES, other_variant, seed)
        initial = _make_run(config, datasets, *key, path)
    if kind != RANDOM:
        settings["initial"] = {kind: initial.id if initial else start}
    ood = tuple(packed(name, "test") for name in entry["ood"])
    return Run(
        study_name, in_distribution, study["method"], strategy, variant, seed,
        settings, train, test, ood, tuple(dict.fromkeys(sources)),
        merge(config["evaluation"], study.get("evaluation", {})),
        start if kind == "weights" else None, initial,
    )  # fmt: skip


def _refuse_equal_runs(runs: dict[str, Run]) -> None:
    seen: dict[str, str] = {}
    for run in runs.values():
        what = repr((run.study, run.in_distribution, run.method, run.seed, run.settings))
        if what in seen:
            raise UserError(
                f"The runs {seen[what]} and {run.id} have the same settings and would be trained "
                "twice: take one of them out of config.yaml."
            )
        seen[what] = run.id


def _refuse_other_backbones(runs: Iterable[Run], weights: dict[str, Any]) -> None:
    for run in runs:
        own, other, what = run.settings["backbone"]["name"], None, None
        if run.weights in weights:
            other, what = weights[run.weights].backbone, f"the weights {run.weights}"
        elif run.initial is not None:
            other, what = run.initial.settings["backbone"]["name"], f"the run {run.initial.id}"
        if other not in (None, own):
            raise UserError(
                f"config: {run.id} starts from {what}, which has the backbone {other}, not {own}: "
                "give both the same."
            )


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """A new dictionary, each layer laid over those before it, key by key at every depth."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, dict):
                below = merged.get(key)
                merged[key] = merge(below if isinstance(below, dict) else {}, value)
            else:
                merged[key] = copy.deepcopy(value)
    return merged


def typed(value: Any) -> Any:
    """The config with text that spells a number, true, false or null turned into that.

    Snakemake reads `--config "seeds=[0,1]"` as a list of text.
    """
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [typed(v) for v in value]
    if isinstance(value, str) and LITERAL.fullmatch(value):
        return json.loads(value)
    return value


def without_nulls(value: Any) -> Any:
    """The config without the keys that are null: how a second file takes something away."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value
