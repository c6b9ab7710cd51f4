"""Measured values of many runs, looked up by what they are; the thesis's reported values beside.

Tables, figures and claims all read a `Results`, which holds only the runs of their target.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.common.settings import read_settings
from ssl_ood.common.vocabulary import (
    AVERAGE,
    AVERAGE_HONEST,
    BASE,
    MEASURED,
    NOT_APPLICABLE,
    POOLED,
    SEEDS,
)
from ssl_ood.datasets.names import AT
from ssl_ood.evaluation.measurements import read_measurements
from ssl_ood.evaluation.shortcuts.rows import read_shortcuts
from ssl_ood.measures.metrics import t_interval
from ssl_ood.report.options import Scored
from ssl_ood.report.reported import Reported, ReportedKey, by_key, read_reported

if TYPE_CHECKING:
    import pandas as pd

NAMES = {AVERAGE: "Average", AVERAGE_HONEST: "Average without photographs", POOLED: "All"}
NOT_RUN = "not_run"  # the status of what no run of the target is for
SCORED = ("auroc", "fpr95", "aupr", "sensitivity")  # metrics of a score, the others are of a run


class Key(NamedTuple):
    """What was measured of which models; score is empty where the metric needs none."""

    in_distribution: str
    strategy: str
    variant: str = BASE
    metric: str = "auroc"
    ood: str = ""
    score: str = ""
    tau: float | None = None


class Measurement(NamedTuple):
    """One value of one run, with its interval over images where it has one, else NaN."""

    run: str
    seed: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """A value over seeds.

    spread: standard deviation over seeds, NaN for one. low, high: the confidence interval, of the
    mean over seeds (Student) where there are two or more, else over the images of the one run;
    NaN where there is none. over: "seeds" or "images". Where the seed of a study chooses its
    train/test split, `Results.repeats` says so.
    """

    mean: float
    spread: float
    low: float
    high: float
    over: str
    n: int
    runs: tuple[str, ...]

    def scaled(self, factor: float) -> Summary:
        """The same in other units, for instance percent."""
        values = (factor * x for x in (self.mean, self.spread, self.low, self.high))
        return Summary(*values, self.over, self.n, self.runs)


def summarise(values: Sequence[Measurement], confidence: float = 0.95) -> Summary | None:
    """Mean, spread and interval of one value of several seeds; None for no values."""
    if not values:
        return None
    runs = tuple(v.run for v in values)
    if len(values) == 1:
        (one,) = values
        return Summary(one.value, math.nan, one.low, one.high, "images", 1, runs)
    mean, low, high = t_interval([v.value for v in values], confidence)
    variance = sum((v.value - mean) ** 2 for v in values) / (len(values) - 1)
    return Summary(mean, math.sqrt(variance), low, high, "seeds", len(values), runs)


@dataclass(frozen=True)
class Results:
    """The measurements and reported values that a target may show.

    spec: see `study.runs.Experiments.spec`. options: the settings of its form. frame: the
    measurements of its runs, tidy; see `evaluation.measurements`. quoted: the reported values, see
    `read_reported`; no rows unless spec["show_reported"]. reported_dir: where these and the claims
    in words are. scores_of: the files of the scores of every image, by run; images: folders of
    packed sets; shortcuts: what needs no learning (`evaluation.shortcuts.rows`); history: the logs
    of the trainings; all four for forms that need them. baselines: the results of other methods, by
    their name.
    """

    spec: dict[str, Any]
    options: Any
    frame: pd.DataFrame
    quoted: pd.DataFrame
    reported_dir: Path = Path()
    scores_of: dict[str, Path] = field(default_factory=dict)
    images: Sequence[Path] = ()
    shortcuts: pd.DataFrame | None = None
    baselines: dict[str, Results] = field(default_factory=dict)
    history: Sequence[Path] = ()

    @property
    def score(self) -> str:
        """The score that tables and figures show: option `score`, by default the first of all."""
        return getattr(self.options, "score", None) or self.scores[0]

    @property
    def scores(self) -> list[str]:
        """The scores of a table that shows several: option `scores`, by default all of them."""
        named = getattr(self.options, "scores", None)
        return list(named or self.spec["evaluation"]["scores"])

    @property
    def tau(self) -> float | None:
        """The temperature of `score`; None where it has none."""
        return self.tau_of(self.score)

    def tau_of(self, score: str) -> float | None:
        """The temperature that is shown of a score; None where it has none."""
        has_one = score and lookup("score", score).more.get("temperature")
        return self.spec["evaluation"]["tau"] if has_one else None

    @property
    def repeats(self) -> str:
        """What the runs of one setting differ by: seeds, or train/test splits."""
        return self.spec.get("repeats", SEEDS)

    @property
    def confidence(self) -> float:
        return self.spec["evaluation"]["confidence"]

    @cached_property
    def reported(self) -> dict[ReportedKey, Reported]:
        """The reported values by what they are of, in the order of their files."""
        return by_key(self.quoted)

    @cached_property
    def _rows(self) -> dict[Key, list[tuple[Measurement, str]]]:
        """The frame's rows and their statuses by what they measure: a table asks thousands."""
        names = ["in_distribution", "strategy", "variant", "metric", "dataset", "score"]
        names += ["temperature", "run", "seed", "value", "low", "high", "status"]
        rows: dict[Key, list[tuple[Measurement, str]]] = defaultdict(list)
        for row in zip(*(self.frame[name].tolist() for name in names), strict=True):
            *words, temperature = row[:7]
            key = Key(*words, None if math.isnan(temperature) else temperature)
            rows[key].append((Measurement(*row[7:12]), row[12]))
        return dict(rows)

    def _rows_of(self, key: Key) -> list[tuple[Measurement, str]]:
        """The rows of a key, whose score and temperature are those shown where it has none."""
        if key.metric in SCORED:
            key = key._replace(score=key.score or self.score)
            key = key._replace(tau=self.tau_of(key.score) if key.tau is None else key.tau)
        return self._rows.get(key, [])

    def by_seed(
        self, in_distribution: str, strategy: str, **selection: Any
    ) -> dict[int, Measurement]:
        """Measurements by seed; the score and temperature shown are filled in where needed."""
        rows = self._rows_of(Key(in_distribution, strategy, **selection))
        measured = [measurement for measurement, status in rows if status == MEASURED]
        return {m.seed: m for m in sorted(measured, key=lambda m: m.seed)}

    def status(self, in_distribution: str, strategy: str, **selection: Any) -> str:
        """Why there is a number or none: measured, no_data, not_applicable, not_run, ..."""
        key = Key(in_distribution, strategy, **selection)
        statuses = [status for _, status in self._rows_of(key)]
        if statuses:
            return MEASURED if MEASURED in statuses else statuses[-1]
        for run in self.spec["runs"]:
            if tuple(run[name] for name in key._fields[:3]) == key[:3]:
                return run.get("status", NOT_APPLICABLE)
        return NOT_RUN

    def training_method(self, in_distribution: str, strategy: str) -> str:
        """How the runs of a strategy were trained; empty where there are none."""
        for run in self.spec["runs"]:
            if run["in_distribution"] == in_distribution and strategy in (run["strategy"], "all"):
                return run["method"]
        return ""

    def summary(self, in_distribution: str, strategy: str, **selection: Any) -> Summary | None:
        """Mean over seeds of what `by_seed` gives; None where nothing was measured."""
        measurements = self.by_seed(in_distribution, strategy, **selection)
        return summarise(list(measurements.values()), self.confidence)

    def ood_sets(self, in_distribution: str) -> list[str]:
        """The OOD sets of an in-distribution dataset, in the order of the config."""
        parts = [*self.spec["runs"], *self.spec.get("shortcuts", ())]
        parts = [entry for entry in parts if entry["in_distribution"] == in_distribution]
        return list(dict.fromkeys(name for entry in parts for name in entry["ood"]))

    def compared(self, in_distribution: str) -> set[str]:
        """What the spec asks shortcuts of: OOD sets, and their groups."""
        titles = [
            name
            for entry in self.spec.get("shortcuts", ())
            if entry["in_distribution"] == in_distribution
            for name in entry["ood"]
        ]
        return {*titles, AVERAGE, AVERAGE_HONEST, POOLED} if titles else set()

    def beside_sets(self, in_distribution: str) -> list[str]:
        """The OOD sets that count in no average, some with a size of their own: lsun@256."""
        runs = [r for r in self.spec["runs"] if r["in_distribution"] == in_distribution]
        return list(dict.fromkeys(name for run in runs for name in run.get("beside", ())))

    def averages(self, in_distribution: str) -> list[str]:
        """Names of the averages over OOD sets that are shown."""
        photographs = set(self.spec["photographs"]) & set(self.ood_sets(in_distribution))
        honest = 0 < len(photographs) < len(self.ood_sets(in_distribution))
        return [AVERAGE, AVERAGE_HONEST] if honest else [AVERAGE]

    def in_distributions(self) -> list[str]:
        """The in-distribution datasets of the runs, those that the target names first."""
        named = self.spec["options"].get("in_distribution", [])
        runs = self.spec["runs"]
        return list(dict.fromkeys([*named, *(r["in_distribution"] for r in runs)]))

    def strategies(self, in_distribution: str) -> list[str]:
        """The trained strategies (base variant) of the runs, those that the target names first."""
        named = self.spec["options"].get("strategies", [])
        if isinstance(named, dict):  # a list for each dataset
            named = named.get(in_distribution, [])
        shown = [
            run["strategy"]
            for run in self.spec["runs"]
            if run["in_distribution"] == in_distribution and run["variant"] == BASE
        ]
        return list(dict.fromkeys([s for s in named if s in shown] + shown))

    def variants(self, in_distribution: str, strategy: str) -> list[str]:
        """The variants of the runs of a strategy, in the order of the config."""
        return list(
            dict.fromkeys(
                run["variant"]
                for run in self.spec["runs"]
                if (run["in_distribution"], run["strategy"]) == (in_distribution, strategy)
            )
        )

    def title(self, kind: str, name: str) -> str:
        """How a dataset, strategy or variant is printed; its name where no title is given."""
        if kind == "datasets" and name in NAMES:
            return NAMES[name]
        if kind == "datasets" and AT in name:
            dataset, _, size = name.partition(AT)
            return f"{self.title(kind, dataset)}, straight to {size} px"
        return self.spec.get("titles", {}).get(kind, {}).get(name, name)


def load_results(
    spec: dict[str, Any],
    measurements: Sequence[Path],
    reported_dir: Path | None = None,
    scores: Sequence[Path] = (),
    images: Sequence[Path] = (),
    shortcuts: Sequence[Path] = (),
    history: Sequence[Path] = (),
) -> Results:
    """Reads the measurements of the target's runs and, where they are shown, the reported values.

    Raises UserError for a file that is missing, damaged or of another run, and where a run of the
    target has none.
    """
    settings = lookup(spec["kind"], spec["form"], spec["name"]).settings
    own = {k: v for k, v in spec["options"].items() if k in settings.key_names()}
    options = read_settings(settings, own, spec["name"])
    others = spec.get("baselines", {})
    runs = [
        run["run"] for baseline_spec in (spec, *others.values()) for run in baseline_spec["runs"]
    ]
    seen: dict[str, Any] = {}
    frame = read_measurements(measurements, list(dict.fromkeys(runs)), seen)
    own, shortcut_rows = _of_runs(spec, frame), _shortcuts(spec, shortcuts, seen)
    quoted = read_reported(reported_dir if spec["show_reported"] else None)
    files = {path.stem: path for path in scores}
    baselines = {}
    for name, other in others.items():
        baseline_spec = {**spec, **other, "baselines": {}}
        chosen = Scored(score=other["score"])
        baseline_spec, of_runs = in_the_table_s_names(baseline_spec, _of_runs(baseline_spec, frame))
        baselines[name] = Results(baseline_spec, chosen, of_runs, quoted, history=history)
    folder = reported_dir or Path()
    return Results(
        spec, options, own, quoted, folder, files, images, shortcut_rows, baselines, history
    )


def in_the_table_s_names(
    spec: dict[str, Any], frame: pd.DataFrame
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The spec and measurements of a baseline, its datasets by the names that the table has.

    spec["stands_for"] names, of an in-distribution dataset or an OOD set of the table, the one that
    was measured in its place. The ids of the runs stay as they are.
    """
    stands_for = spec.get("stands_for", {})
    homes, sets = (
        {theirs: ours for ours, theirs in stands_for.get(kind, {}).items()}
        for kind in ("in_distribution", "ood")
    )
    if not homes and not sets:
        return spec, frame
    runs = [
        run
        | {"in_distribution": homes.get(run["in_distribution"], run["in_distribution"])}
        | {"ood": [sets.get(name, name) for name in run["ood"]]}
        for run in spec["runs"]
    ]
    frame = frame[~frame["dataset"].isin(list(sets.values()))]  # what another set stands for
    renamed = {
        column: frame[column].map(lambda name, names=names: names.get(name, name))
        for column, names in (("in_distribution", homes), ("dataset", sets))
    }
    return {**spec, "runs": runs}, frame.assign(**renamed).reset_index(drop=True)


def _of_runs(spec: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """The measurements of the runs that a spec names."""
    _refuse_missing(spec, set(frame["run"]))
    return frame[frame["run"].isin([run["run"] for run in spec["runs"]])].reset_index(drop=True)


def _shortcuts(
    spec: dict[str, Any], paths: Sequence[Path], seen: dict[str, Any]
) -> pd.DataFrame | None:
    """The shortcuts that the spec asks for, all of them; None where it asks for none."""
    if not spec.get("shortcuts"):
        return None
    frame = read_shortcuts(paths, seen)
    for entry in spec["shortcuts"]:
        if "status" not in entry and entry["run"] not in set(frame["run"]):
            raise UserError(
                f"{spec['name']}: there are no shortcuts of {entry['run']}: make them with "
                f"`snakemake {spec['name']}`."
            )
    named = [entry["run"] for entry in spec["shortcuts"]]
    return frame[frame["run"].isin(named)].reset_index(drop=True)


def _refuse_missing(spec: dict[str, Any], measured: set[str]) -> None:
    """A run that should be there and is not is an error, not an empty cell."""
    for run in spec["runs"]:
        if "status" not in run and run["run"] not in measured:
            raise UserError(
                f"{spec['name']}: there are no measurements of {run['run']}: make them with "
                f"`snakemake {spec['name']}`, which evaluates the run."
            )
