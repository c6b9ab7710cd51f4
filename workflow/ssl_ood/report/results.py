"""Measured values of many runs, looked up by what they are; the thesis's reported values beside.

Tables, figures and claims all read a `Results`, which holds only the runs of their target.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import AVERAGE, AVERAGE_HONEST, BASE, POOLED, SEEDS
from ssl_ood.evaluation.measurements import MEASURED, NOT_APPLICABLE, read_measurements
from ssl_ood.measures.metrics import t_interval

NAMES = {AVERAGE: "Average", AVERAGE_HONEST: "Average without photographs", POOLED: "All"}
if TYPE_CHECKING:
    import pandas as pd

SCALES = {"fraction": 1.0, "percent": 100.0}  # of a share; metrics files hold fractions
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


class ReportedKey(NamedTuple):
    """What a value of the thesis is of. The variant is empty for methods that are not ours."""

    artefact: str
    train: str
    ood: str
    method: str  # a strategy of ours, or another method's name
    variant: str = ""
    metric: str = "auroc"
    score: str = ""

    @property
    def ours(self) -> bool:
        return bool(self.variant)


class Reported(NamedTuple):
    """A value printed in the thesis, in its unit, and what is said of it."""

    value: float
    unit: str
    note: str

    def in_unit(self, unit: str) -> float:
        """The value in another unit; unchanged, to the last digit, in its own."""
        return self.value if unit == self.unit else self.value * SCALES[unit] / SCALES[self.unit]


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

    spec: see `experiments.Experiments.spec`. reported: empty unless spec["show_reported"].
    """

    spec: dict[str, Any]
    values: dict[Key, list[Measurement]]
    reported: dict[ReportedKey, Reported]
    statuses: dict[Key, str] = field(default_factory=dict)  # of what has no value
    reported_dir: Path = Path()
    frame: pd.DataFrame | None = None  # all of it, tidy: `ssl_ood.evaluation.measurements`

    @property
    def options(self) -> dict[str, Any]:
        return self.spec["options"]

    @property
    def score(self) -> str:
        """The score that tables and figures show: option `score`, by default the first of all."""
        return self.options.get("score", self.scores[0])

    @property
    def scores(self) -> list[str]:
        """The scores of a table that shows several: option `scores`, by default all of them."""
        return self.options.get("scores", self.spec["evaluation"]["scores"])

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

    def by_seed(self, in_distribution: str, strategy: str, **what: Any) -> dict[int, Measurement]:
        """Measurements by seed; the score and temperature shown are filled in where needed."""
        metric = what.setdefault("metric", "auroc")
        if metric in SCORED:
            what.setdefault("score", self.score)
            what.setdefault("tau", self.tau_of(what["score"]))
        key = Key(in_distribution, strategy, **what)
        return {m.seed: m for m in sorted(self.values.get(key, []), key=lambda m: m.seed)}

    def status(self, in_distribution: str, strategy: str, **what: Any) -> str:
        """Why there is a number or none: measured, no_data, not_applicable, not_run, ..."""
        if self.by_seed(in_distribution, strategy, **what):
            return MEASURED
        metric = what.get("metric", "auroc")
        if metric in SCORED:
            what.setdefault("score", self.score)
            what.setdefault("tau", self.tau_of(what["score"]))
        if (key := Key(in_distribution, strategy, **what)) in self.statuses:
            return self.statuses[key]
        variant = what.get("variant", BASE)
        for run in self.spec["runs"]:
            if (run["in_distribution"], run["strategy"], run["variant"]) == (
                in_distribution,
                strategy,
                variant,
            ):
                return run.get("status", NOT_APPLICABLE)
        return NOT_RUN

    def training_method(self, in_distribution: str, strategy: str) -> str:
        """How the runs of a strategy were trained; empty where there are none."""
        for run in self.spec["runs"]:
            if run["in_distribution"] == in_distribution and strategy in (run["strategy"], "all"):
                return run["method"]
        return ""

    def summary(self, in_distribution: str, strategy: str, **what: Any) -> Summary | None:
        """Mean over seeds of what `by_seed` gives; None where nothing was measured."""
        found = self.by_seed(in_distribution, strategy, **what)
        return summarise(list(found.values()), self.confidence)

    def ood_sets(self, in_distribution: str) -> list[str]:
        """The OOD sets of the runs of an in-distribution dataset, in the order of the config."""
        runs = [r for r in self.spec["runs"] if r["in_distribution"] == in_distribution]
        return list(dict.fromkeys(name for run in runs for name in run["ood"]))

    def averages(self, in_distribution: str) -> list[str]:
        """Names of the averages over OOD sets that are shown."""
        photographs = set(self.spec["photographs"]) & set(self.ood_sets(in_distribution))
        honest = 0 < len(photographs) < len(self.ood_sets(in_distribution))
        return [AVERAGE, AVERAGE_HONEST] if honest else [AVERAGE]

    def in_distributions(self) -> list[str]:
        """The in-distribution datasets of the runs, those of the options first."""
        named = self.options.get("in_distribution", [])
        runs = self.spec["runs"]
        return list(dict.fromkeys([*named, *(r["in_distribution"] for r in runs)]))

    def strategies(self, in_distribution: str) -> list[str]:
        """The trained strategies (base variant) of the runs, those of the options first."""
        named = self.options.get("strategies", [])
        if isinstance(named, dict):  # a list for each dataset
            named = named.get(in_distribution, [])
        found = [
            run["strategy"]
            for run in self.spec["runs"]
            if run["in_distribution"] == in_distribution and run["variant"] == BASE
        ]
        return list(dict.fromkeys([s for s in named if s in found] + found))

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
        return self.spec.get("titles", {}).get(kind, {}).get(name, name)


def load_results(
    spec: dict[str, Any], measurements: Sequence[Path], reported_dir: Path | None = None
) -> Results:
    """Reads the measurements of the target's runs and, where they are shown, the reported values.

    Raises UserError for a file that is missing, and where a run of the target has none.
    """
    values: dict[Key, list[Measurement]] = defaultdict(list)
    statuses: dict[Key, str] = {}
    wanted = {run["run"] for run in spec["runs"]}
    frame = read_measurements(measurements)
    frame = frame[frame["run"].isin(wanted)]
    _refuse_missing(spec, set(frame["run"]))
    for row in frame.itertuples(index=False):
        tau = None if math.isnan(row.temperature) else row.temperature
        key = Key(
            row.in_distribution, row.strategy, row.variant, row.metric, row.dataset, row.score, tau
        )
        if row.status == MEASURED:
            values[key].append(Measurement(row.run, row.seed, row.value, row.low, row.high))
        else:
            statuses[key] = row.status
    shows = spec["show_reported"] and reported_dir is not None
    reported = read_reported(Path(reported_dir)) if shows else {}
    folder = Path(reported_dir or "")
    return Results(spec, dict(values), reported, statuses, folder, frame)


def _refuse_missing(spec: dict[str, Any], measured: set[str]) -> None:
    """A run that should be there and is not is an error, not an empty cell."""
    for run in spec["runs"]:
        if "status" not in run and run["run"] not in measured:
            raise UserError(
                f"{spec['name']}: there are no measurements of {run['run']}: make them with "
                f"`snakemake {spec['name']}`, which evaluates the run."
            )


def read_reported(folder: Path) -> dict[ReportedKey, Reported]:
    """Every value of the thesis in a folder's csv files, those of the claims in words aside."""
    reported = {}
    for path in sorted(folder.glob("*.csv")):
        if not path.name.startswith("claims_"):
            for row in read_rows(path):
                key = ReportedKey(*(row[name] for name in ReportedKey._fields))
                reported[key] = Reported(float(row["value"]), row["unit"], row["note"])
    return reported


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file; UserError where it is not there."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: make it first, or correct its path.") from None


def reported_claims(reported_dir: Path) -> list[dict[str, str]]:
    """Rows (id, where, claim, value, unit) of all claims; UserError where there are none."""
    rows = [row for path in sorted(reported_dir.glob("claims_*.csv")) for row in read_rows(path)]
    if not rows:
        raise UserError(f"{reported_dir} has no claims_*.csv: correct reported_dir in the config.")
    return rows
