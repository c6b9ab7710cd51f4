"""What is not there: archives that nobody has put in place, downloads that failed, what waits.

A dataset or published weights that cannot be had leave a gap: the cells that need them say
`no data` or `no weights`, and everything else is made. With `strict: true` there are no gaps: what
is not there ends the workflow.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl_ood.common.files import read_json, write_json
from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import NO_DATA, NO_WEIGHTS
from ssl_ood.datasets.catalogue import Dataset
from ssl_ood.datasets.names import PackedSet
from ssl_ood.datasets.places import failed_fetch, present
from ssl_ood.datasets.weights import Weights
from ssl_ood.study.bundled import brought_pairs, bundled_runs
from ssl_ood.study.pairs import Pairs
from ssl_ood.study.runs import Experiments, Run, Target, needed_sets, shown_runs

FROZEN = "SSL_OOD_GAPS"  # the variable that tells jobs
RETRY_HOURS = 12.0  # a download that failed is tried again after so long


@dataclass(frozen=True)
class Gap:
    """A dataset or weights that cannot be had. name: of the folder of its archives; todo: how a
    person fills it; bytes: to put in place, 0 where nobody knows."""

    name: str
    title: str
    files: tuple[str, ...]
    todo: str
    bytes: int
    status: str = NO_DATA

    def sentence(self) -> str:
        """`RSNA: rsna.zip (3.7 GB) is not there. How to get it.`"""
        size = f" ({_in_words(self.bytes)})" if self.bytes else ""
        verb = "is" if len(self.files) == 1 else "are"
        return f"{self.title}: {', '.join(self.files)}{size} {verb} not there. {self.todo}"


def _in_words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


@dataclass(frozen=True)
class Gaps:
    """The gaps of a study. sets: by path of the packed set; weights: by name.

    bundled: the runs that came as bundles, which are there whatever is missing, and the paths of
    the sets that each was tested on; brought: the pairs whose shortcuts came with them, and the
    paths of the sets that these were measured on.
    """

    experiments: Experiments
    sets: dict[str, Gap] = field(default_factory=dict)
    weights: dict[str, Gap] = field(default_factory=dict)
    bundled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    brought: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def there(self, sets: Iterable[PackedSet]) -> list[PackedSet]:
        """Those of the packed sets that are there or can be made."""
        return [s for s in sets if s.path not in self.sets]

    def before(self, run: Run) -> list[Gap]:
        """The gaps because of which a run cannot be trained and evaluated, itself or the one that
        it starts from."""
        if run.id in self.bundled:
            return []
        own = [s for s in (run.train, run.test, run.calibration) if s is not None]
        needed = [s.path for s in (*own, *run.sources)]
        missing = [self.sets[path] for path in needed if path in self.sets]
        if run.weights in self.weights:
            missing.append(self.weights[run.weights])
        return list(dict.fromkeys(missing + (self.before(run.initial) if run.initial else [])))

    def runs(self, runs: Iterable[Run]) -> list[Run]:
        """Those that can be trained and evaluated, or are there."""
        return [run for run in runs if not self.before(run)]

    def made_here(self, runs: Iterable[Run]) -> list[Run]:
        """Those that are trained and evaluated by this workflow: `runs`, without bundled ones."""
        return [run for run in self.runs(runs) if run.id not in self.bundled]

    def seen(self, runs: Iterable[Run]) -> list[Run]:
        """Those whose images can be shown: bundled ones bring none."""
        return [
            run for run in self.runs(runs) if run.id not in self.bundled or not self._of_images(run)
        ]

    def _of_images(self, run: Run) -> list[Gap]:
        """The gaps among what the network of a run was shown."""
        return [self.sets[s.path] for s in (run.train, *run.sources) if s.path in self.sets]

    def pairs(self, pairs: Iterable[Pairs]) -> list[Pairs]:
        """Those that came with a bundle, or whose in-distribution images are there or can be
        made."""
        return [
            p for p in pairs if p.name in self.brought or len(self.there((p.train, p.test))) == 2
        ]

    def shortcuts_config(self, pairs: Pairs) -> dict[str, Any]:
        """The content of shortcuts/NAME.json: see `Pairs.config`."""
        return self.experiments.shortcuts_config(pairs, self.sets)

    def of(self, target: Target, beside: bool = False) -> list[Gap]:
        """The gaps of a table or figure; beside: also of sets that its runs are tested against
        beside those that it shows, where its form does not show these too."""
        beside = beside or "beside" in lookup(target.kind, target.form).needs
        missing = [gap for run in target.runs for gap in self.before(run)]
        if target.views:
            missing += [gap for run in target.first_seed for gap in self._of_images(run)]
        runs = target.runs if target.trains else ()
        sets = [
            s
            for run in runs
            for s in (run.tested if beside else run.ood)
            if s.path not in self.bundled.get(run.id, ())
        ]
        if target.images or not all(run.id in self.bundled for run in target.runs):
            sets += target.in_distribution
        sets += target.compared if target.compares else ()
        sets += [
            s
            for pairs in target.pairs
            for s in pairs.sets
            if s.path not in self.brought.get(pairs.name, ())
        ]
        missing += [self.sets[s.path] for s in sets if s.path in self.sets]
        return list(dict.fromkeys(missing))

    def spec(self, name: str) -> dict[str, Any]:
        """What the table or figure stage is told: see `Experiments.spec`; runs that wait have a
        status, `gaps` says what they wait for."""
        spec, target = self.experiments.spec(name), self.experiments.targets[name]
        gaps = self.of(target)
        if not gaps:
            return spec
        waiting = {run.id: self.before(run)[0].status for run in target.runs if self.before(run)}
        for part in (spec, *spec.get("baselines", {}).values()):
            part["runs"] = [
                run | ({"status": waiting[run["run"]]} if run["run"] in waiting else {})
                for run in part["runs"]
            ]
        shown = {run.id for run in self.seen(target.runs)}
        spec["configs"] = [c for c in spec["configs"] if c["run"] in shown]
        if target.pairs:
            made = {pairs.name for pairs in self.pairs(target.pairs)}
            spec["shortcuts"] = [
                pairs | ({} if pairs["run"] in made else {"status": NO_DATA})
                for pairs in spec["shortcuts"]
            ]
        spec["gaps"] = [f"{gap.sentence()} {self._waits(gap, target)}" for gap in gaps]
        return spec

    def evaluation_config(self, run: Run) -> dict[str, Any]:
        """The content of evaluation/{run}.json: see `Experiments.evaluation_config`."""
        config = self.experiments.evaluation_config(run)
        for entry, packed in zip(config["ood"], run.tested, strict=True):
            if packed.path in self.sets:
                entry["available"] = False
        return config

    def waiting(self, gap: Gap, runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
        """Of these runs, those that wait for the gap to be trained, and to be tested against it."""
        runs = list(runs)
        train = [run for run in runs if gap in self.before(run)]
        test = [
            run
            for run in runs
            if run not in train
            and gap in [self.sets.get(s.path) for s in run.tested]
            and run.id not in self.bundled
        ]
        return train, test

    def _waits(self, gap: Gap, target: Target) -> str:
        train, test = self.waiting(gap, target.runs if target.trains else ())
        parts = [f"{len(train)} to train"] if train else []
        parts += [f"{len(test)} to test against it"] if test else []
        return f"Models that wait for it: {', '.join(parts)}." if parts else ""

    def frozen(self) -> str:
        """As JSON: jobs go by what the plan has seen, not by what has come since."""
        parts = (self.sets, self.weights)
        described = [{name: asdict(gap) for name, gap in part.items()} for part in parts]
        return json.dumps([*described, self.bundled, self.brought])


def thawed(experiments: Experiments, text: str) -> Gaps:
    """The gaps that `Gaps.frozen` has written."""
    *parts, bundled, brought = json.loads(text)
    sets, weights = (
        {name: Gap(**entry | {"files": tuple(entry["files"])}) for name, entry in part.items()}
        for part in parts
    )
    came = [{name: tuple(paths) for name, paths in of.items()} for of in (bundled, brought)]
    return Gaps(experiments, sets, weights, *came)


def find_gaps(experiments: Experiments) -> Gaps:
    """The gaps of a study as this machine's disks are; none where the config is strict.

    A packed set that is there leaves no gap, whatever became of its archives. One that only bundled
    runs were made from is not fetched for the sake of a figure that shows images: it is a gap.
    """
    config, bundled = experiments.config, bundled_runs(experiments)
    brought = brought_pairs(experiments, bundled)
    if config.strict:
        return Gaps(experiments, bundled=bundled, brought=brought)
    results = Path(config.results_dir)
    sets = experiments.packed_sets()
    sets |= {s.path: s for t in experiments.targets.values() for s in t.in_distribution}
    absent = [s for s in sets.values() if not (results / "data" / s.path / "meta.json").exists()]
    runs = [run for run in experiments.runs.values() if run.id not in bundled]
    needed = {s.path for run in runs for s in needed_sets(run)}
    of_bundles = {s.dataset for name in bundled for s in needed_sets(experiments.runs[name])}
    gaps: dict[str, Gap] = {}
    for packed in absent:
        dataset = experiments.datasets[packed.dataset]
        source = dataset.read_for([dataset.split(packed.split)])
        if gap := _gap(source, experiments, NO_DATA):
            gaps[packed.path] = gap
        elif packed.dataset in of_bundles and packed.path not in needed:
            gaps[packed.path] = _not_asked_for(source, results / "data" / packed.path)
    weights = {}
    for name in {run.weights for run in runs if run.weights}:
        if not (results / "weights" / f"{name}.safetensors").exists() and (
            gap := _gap(experiments.weights[name], experiments, NO_WEIGHTS)
        ):
            weights[name] = gap
    return Gaps(experiments, gaps, weights, bundled, brought)


def _gap(source: Dataset | Weights, experiments: Experiments, status: str) -> Gap | None:
    """What is missing of a dataset or weights that cannot be fetched; None where nothing is."""
    config = experiments.config
    places = Path(config.downloads_dir), [Path(folder) for folder in config.archive_dirs]
    missing = [
        archive
        for archive in source.archives
        if not archive.package and not archive.optional and not present(source, archive, *places)
    ]
    if not missing:
        return None
    todo = f"{source.how_to_get}."
    if source.free:
        marker = failed_fetch(Path(config.results_dir, "archives", f"{source.store}.json"))
        reason = _recent_failure(marker)
        if reason is None:
            return None
        todo = f"{reason} Delete {marker} to try again at once."
    size = sum(archive.bytes or 0 for archive in missing)
    origin = experiments.datasets.get(source.store, source)  # of a derived set, that it is from
    return Gap(source.store, origin.title, tuple(a.file for a in missing), todo, size, status)


def _not_asked_for(source: Dataset, packed: Path) -> Gap:
    """The gap of images that could be fetched, but that no run waits for."""
    files = tuple(a.file for a in source.archives)
    todo = f"Its runs came as bundles; `snakemake {shlex.quote(f'{packed}/meta.json')}` fetches it."
    return Gap(source.store, source.title, files, todo, 0)


def _recent_failure(marker: Path) -> str | None:
    """Why a download failed in the last hours; None where none did."""
    try:
        failure = read_json(marker)
        age = time.time() - failure["time"]
        return str(failure["reason"]) if 0 <= age < 3600 * RETRY_HOURS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_gaps(gaps: Gaps, targets: Sequence[Target], path: Path) -> None:
    """Brings the file that `ssl_ood watch` ends by up to date: sentences by table or figure."""
    try:
        sentences = dict(read_json(path))
    except (OSError, ValueError, TypeError):
        sentences = {}
    for target in targets:
        sentences[target.name] = [gap.sentence() for gap in gaps.of(target)]
    known = {name: sentences[name] for name in gaps.experiments.targets if sentences.get(name)}
    if known or path.exists():
        write_json(path, known)


def describe_gaps(gaps: Gaps, targets: Sequence[Target], hours: dict[str, float], unit: str) -> str:
    """Every gap of these targets with what waits for it, for a person to read; empty without gaps.

    hours: of the training of each run, by id.
    """
    lines = []
    gaps_of = (gap for target in targets for gap in gaps.of(target, beside=True))
    for gap in dict.fromkeys(gaps_of):
        train, test = gaps.waiting(gap, shown_runs(targets))
        spent = sum(hours.get(run.id, 0.0) for run in train)
        lines.append(
            f"  {gap.sentence()} For it wait {len(train)} trainings ({spent:,.3g} {unit}) and "
            f"{len(test)} evaluations."
        )
    if not lines:
        return ""
    config = gaps.experiments.config
    where = ", ".join(config.archive_dirs) or "a folder named under archive_dirs"
    return "\n".join(
        [
            "Not there. What needs it is left out, its cells say so (strict: true refuses it):",
            *lines,
            f"Put each file, under its name, into {config.downloads_dir}/DATASET or one of: "
            f"{where}.",
        ]
    )


def used_sets(experiments: Experiments, gaps: Gaps) -> list[PackedSet]:
    """The packed sets that runs or targets use and that are there or can be made."""
    runs = gaps.made_here(experiments.runs.values())
    sets = [s for run in runs for s in needed_sets(run)]
    sets += [s for target in experiments.targets.values() for s in target.in_distribution]
    pairs = [p for p in gaps.pairs(experiments.pairs.values()) if p.name not in gaps.brought]
    sets += [s for p in pairs for s in p.sets]
    return gaps.there(dict.fromkeys(sets))
