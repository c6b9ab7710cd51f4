"""From the config to runs and targets: which models are trained, and what is made of them.

Pure Python without heavy imports: the Snakefile and every dry-run pay for this module. A run is
(study, in-distribution dataset, method, negative strategy, variant, seed) and is trained once,
whatever tables share it. A target is a table or figure that can be asked for by name.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from ssl_ood.common.registry import lookup
from ssl_ood.datasets.names import PackedSet
from ssl_ood.methods.settings import RunSettings
from ssl_ood.study.layers import merge
from ssl_ood.study.pairs import Pairs
from ssl_ood.study.settings import Config, Evaluation
from ssl_ood.study.settings import Target as TargetSettings

# Keys of evaluation/{run}.json that say nothing of the training.
OF_EVALUATION = ("ood", "evaluation", "calibration_split", "decoding")
OF_DECODING = ("mode", "range")  # options of a dataset: how new images of its kind are decoded


@dataclass(frozen=True)
class Run:
    """One model to train, and the sets that it is scored against.

    training_config: the content of runs/{run}/config.json: an edit of anything else trains nothing
    again; settings: the same, typed; evaluation: how it is scored; places: where the config says
    what, the last laid over the others.
    """

    settings: RunSettings
    training_config: dict[str, Any]
    train: PackedSet
    test: PackedSet
    ood: tuple[PackedSet, ...]
    beside: tuple[PackedSet, ...]  # OOD sets that count in no average
    sources: tuple[PackedSet, ...]  # of the negatives
    evaluation: Evaluation
    evaluation_config: dict[str, Any]
    places: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    weights: str | None = None  # of the catalogue, that the backbone starts from
    initial: Run | None = None  # whose backbone it starts from
    calibration: PackedSet | None = None  # on which thresholds are set; None: on the test set

    @property
    def id(self) -> str:
        return self.settings.run

    @property
    def tested(self) -> tuple[PackedSet, ...]:
        """Every set that it is scored against."""
        return (*self.ood, *self.beside)

    @property
    def study(self) -> str:
        return self.settings.study

    @property
    def in_distribution(self) -> str:
        return self.settings.in_distribution

    @property
    def method(self) -> str:
        return self.settings.method

    @property
    def strategy(self) -> str:
        return self.settings.strategy

    @property
    def variant(self) -> str:
        return self.settings.variant

    @property
    def seed(self) -> int:
        return self.settings.seed

    def devices(self, available: int) -> int:
        """Devices that the training runs on, of `available` (0: the processor): the largest number
        that shares its batch out equally, in whole groups of images that share statistics, and that
        its method can use.
        """
        groups = self.settings.training.batch_size // self.settings.options.together
        most = lookup("method", self.method).max_devices or available
        usable = range(1, min(available, most) + 1)
        return max((n for n in usable if groups % n == 0), default=0)

    def place_of(self, key: str) -> str:
        """Where the config says this setting, such as variants.batch_64.training.batch_size."""
        if key == "size":
            return f"studies.{self.study}.size"
        path = self.path_of(key)
        return ".".join(path) if path else f"{self.id}.{key}"

    def path_of(self, key: str) -> tuple[str, ...] | None:
        """The keys that lead to this setting in the config, the last one that says it; None where
        none does. Names have dots in them, such as that of the variant lambda_0.5."""
        parts = tuple(key.split("."))
        for place, layer in reversed(self.places):
            value: Any = layer
            for part in parts:
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                return (*place, *parts)
        return None

    def summary(self) -> dict[str, Any]:
        """What tables and figures need to know of the run."""
        names = ("run", "study", "in_distribution", "method", "strategy", "variant", "seed")
        return {
            **{name: self.training_config[name] for name in names},
            "ood": [s.dataset for s in self.ood],
            "beside": [s.called for s in self.beside],
            "training": self.training_config["training"],
        }


@dataclass(frozen=True)
class Target:
    """A table or figure: the runs it is made from, or the packed sets where it needs no model."""

    name: str
    kind: str  # table or figure
    form: str
    settings: TargetSettings
    options: dict[str, Any]  # as the config has them
    own: tuple[Run, ...]  # of its study
    in_distribution: tuple[PackedSet, ...]  # the training sets that its options name
    pairs: tuple[Pairs, ...] = ()  # of which it shows what needs no learning
    baselines: dict[str, tuple[Run, ...]] = field(default_factory=dict)  # of others, by their name

    @property
    def runs(self) -> tuple[Run, ...]:
        """All that it is made from, its own first."""
        every = (*self.own, *chain(*self.baselines.values()))
        return tuple({run.id: run for run in every}.values())

    @property
    def optional(self) -> bool:
        """Whether it is made by its name alone."""
        return self.settings.optional

    @property
    def trains(self) -> bool:
        """Whether it shows what models do, not only what they are shown."""
        return bool(lookup(self.kind, self.form).needs & {"measurements", "scores", "history"})

    @property
    def views(self) -> bool:
        """Whether it shows what networks are shown."""
        return "views" in lookup(self.kind, self.form).needs

    @property
    def compared(self) -> tuple[PackedSet, ...]:
        """The test set of its first run, and the OOD sets that its options near and far name."""
        named = {self.options.get("near"), self.options.get("far")}
        sets = [s for run in self.runs[:1] for s in (run.test, *run.ood)]
        return tuple(s for i, s in enumerate(sets) if i == 0 or s.dataset in named)

    @property
    def compares(self) -> bool:
        """Whether it is made from images of `compared`."""
        return "tested_images" in lookup(self.kind, self.form).needs

    @property
    def images(self) -> bool:
        """Whether it shows images of training sets."""
        return "images" in lookup(self.kind, self.form).needs

    @property
    def first_seed(self) -> list[Run]:
        """One run for each (dataset, strategy, variant): the seeds have the same negatives."""
        return [run for run in self.own if run.seed == self.own[0].seed]


@dataclass(frozen=True)
class Experiments:
    """All runs by id and all targets by name."""

    config: Config
    plain: dict[str, Any]  # the config as YAML has it
    datasets: dict[str, Any]  # the catalogue
    runs: dict[str, Run]
    targets: dict[str, Target]
    weights: dict[str, Any]  # the catalogue's pre-trained ones
    own: tuple[str, ...] = ()  # studies of a person's own images
    remarks: tuple[str, ...] = ()  # sentences on what was replaced or chosen, for a person

    @property
    def usual(self) -> list[Target]:
        """The tables and figures that `all` makes: those that are not optional."""
        return [target for target in self.targets.values() if not target.optional]

    def of_study(self, study: str) -> list[Target]:
        """The tables and figures of a study, but for the optional ones."""
        return [target for target in self.usual if target.settings.study == study]

    def spec(self, name: str) -> dict[str, Any]:
        """The input of the table or figure stage: plain data, the rule's only parameter."""
        target, plain = self.targets[name], self.plain
        titles = copy.deepcopy(plain.get("titles", {}))
        used = {s.dataset for run in target.runs for s in needed_sets(run)}
        used |= {s.dataset for s in target.in_distribution}
        used |= {s.dataset for pairs in target.pairs for s in pairs.sets}
        titles["datasets"] = {n: self.datasets[n].title for n in sorted(used)}
        configs = [run.training_config for run in target.first_seed] if target.views else []
        return {
            "configs": configs,
            "name": name,
            "kind": target.kind,
            "form": target.form,
            "options": target.options,
            "runs": [run.summary() for run in target.own],
            **self._baselines(target),
            "titles": titles,
            "strategies": {run.strategy: plain["strategies"][run.strategy] for run in target.own},
            "evaluation": self._evaluation_of(target),
            "repeats": self._repeats(target),
            "train_counts": {run.in_distribution: self.count(run.train) for run in target.runs},
            "show_reported": plain["show_reported"],
            "photographs": sorted(n for n in used if self.datasets[n].photographs),
            **({"shortcuts": [p.summary() for p in target.pairs]} if target.pairs else {}),
        }

    def evaluation_config(self, run: Run) -> dict[str, Any]:
        """The content of evaluation/{run}.json: the run, its OOD sets, how it is scored and, where
        its images are not decoded as usual, how (`OF_EVALUATION`)."""
        ood = [
            {
                "dataset": s.dataset,
                "split": s.split,
                "photographs": self.datasets[s.dataset].photographs,
                **({"beside": True} if s in run.beside else {}),
                **({"size": s.size} if s.own_size else {}),
            }
            for s in run.tested
        ]
        config = {**run.training_config, "ood": ood, "evaluation": run.evaluation_config}
        # Named only where there is one: the others are evaluated as before, and not again.
        own = {} if run.calibration is None else {"calibration_split": run.calibration.split}
        options = self.datasets[run.in_distribution].options
        if decoding := {key: options[key] for key in OF_DECODING if key in options}:
            own["decoding"] = decoding
        return config | own

    def shortcuts_config(self, pairs: Pairs, gaps: Collection[str] = ()) -> dict[str, Any]:
        """The content of shortcuts/NAME.json: see `Pairs.config`."""
        return pairs.config([n for n, d in self.datasets.items() if d.photographs], gaps)

    def _evaluation_of(self, target: Target) -> dict[str, Any]:
        """How the runs of a target are scored: a target is of one study."""
        if target.own:
            return target.own[0].evaluation_config
        study = self.config.studies[target.settings.study]
        return merge(self.plain["evaluation"], study.evaluation)

    def _baselines(self, target: Target) -> dict[str, Any]:
        """What the stage is told of the methods of other studies; nothing where there are none."""
        others = {}
        for name, runs in target.baselines.items():
            if not runs:
                continue
            settings = target.settings.baselines[name]
            stands_for = {"in_distribution": settings.in_distribution, "ood": settings.ood}
            others[name] = {
                "score": settings.score,
                "evaluation": runs[0].evaluation_config,
                "runs": [run.summary() for run in runs],
                # Named only where there is one: the other tables are made from what they were.
                **({"stands_for": stands_for} if any(stands_for.values()) else {}),
            }
        return {"baselines": others} if others else {}

    def _repeats(self, target: Target) -> str:
        """What another seed means for the runs of a target."""
        entries = self.config.studies[target.settings.study].in_distribution
        named = {shown.in_distribution for shown in (*target.own, *target.pairs)}
        split = any("{seed}" in (entries[name].train_split or "") for name in named)
        return "train/test splits" if split else "seeds"

    def images(self, run: Run) -> int:
        """Images that an epoch of a run sees, as the catalogue expects; 0 where it does not say."""
        return run.settings.options.labels or self.count(run.train)

    def count(self, packed: PackedSet) -> int:
        """Images that the catalogue expects in a packed set; 0 where it does not say."""
        split = self.datasets[packed.dataset].splits[packed.split]
        return split.count or split.about or 0

    def packed_sets(self) -> dict[str, PackedSet]:
        """Every packed set that some run or shortcut needs, by path."""
        sets = [s for run in self.runs.values() for s in needed_sets(run)]
        sets += [s for pairs in self.pairs.values() for s in pairs.sets]
        return {s.path: s for s in sets}

    @cached_property
    def pairs(self) -> dict[str, Pairs]:
        """What some target shows shortcuts of, by name."""
        return {pairs.name: pairs for target in self.targets.values() for pairs in target.pairs}


def needed_sets(run: Run) -> tuple[PackedSet, ...]:
    """The packed sets that a run is trained on, scored against and calibrated on."""
    calibration = () if run.calibration is None else (run.calibration,)
    return (run.train, run.test, *run.tested, *run.sources, *calibration)


def with_initial(runs: Iterable[Run]) -> Iterator[Run]:
    """The runs and those that they start from, which come first."""
    for run in runs:
        if run.initial is not None:
            yield from with_initial([run.initial])
        yield run


def shown_runs(targets: Iterable[Target]) -> list[Run]:
    """The runs whose numbers these targets show, each once."""
    shown = [run for target in targets if target.trains for run in target.runs]
    return list({run.id: run for run in shown}.values())
