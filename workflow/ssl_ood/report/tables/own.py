"""Tables of a study without OOD data: the strategy to take, and thresholds of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.common.vocabulary import AVERAGE, BASE
from ssl_ood.report.cells import value
from ssl_ood.report.grid import Column, Grid, Piece, Row
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Measurement, Results, Summary, summarise
from ssl_ood.report.table_parts import score_words, titles_of_homes

TEST = ""  # the in-distribution test images, among the names of sets
THRESHOLD, FLAGGED = "threshold", "flagged"  # metrics of the csv file


class Rates(Scored):
    """Options of a table of thresholds."""

    rates: Annotated[Distinct[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = Field(
        (0.01, 0.05, 0.1), description="false-alarm rates of which thresholds are shown"
    )


@register(
    "table",
    "strategies",
    title="Strategies",
    notes="Every strategy with its sensitivity score, which chooses one without OOD data.",
    needs={"measurements"},
    settings=Scored,
)
def strategies_table(results: Results) -> Table:
    """The strategies of a study; the one of the largest sensitivity is marked (section 3.4)."""
    rows, chosen = [], []
    for home in results.in_distributions():
        names = results.strategies(home)
        summaries = {s: results.summary(home, s, metric="sensitivity") for s in names}
        best = _largest(summaries)
        chosen += _runs(results, home, best)
        rows += [
            Row(
                [results.title("strategies", name)],
                {"in_distribution": home, "strategy": name, "chosen": name == best},
            )
            for name in names
        ]
    pieces = {"Sensitivity (%)": _value_of_chosen, "interval": _interval, "chosen": _tick}
    columns = [Column("", {"metric": "sensitivity"}, pieces=pieces)]
    if any(results.ood_sets(home) for home in results.in_distributions()):
        columns.append(Column("Average AUROC (%)", {"dataset": AVERAGE}))
    level = f"{100 * results.confidence:g} %"
    return Grid(results, rows, columns, measure=_chosen_measure).table(
        f"Negatives of {titles_of_homes(results)}, chosen by the sensitivity score without OOD "
        f"data; {score_words(results)}.",
        ["Negatives"],
        [
            "Chosen: the largest sensitivity, how well training images that were held out are told "
            "from test images. It uses images of the in-distribution set only.",
            f"Interval: of {level}, over images or seeds. Where those of two strategies overlap "
            "widely, the choice says little.",
            *(["The AUROC chooses nothing."] if len(columns) > 1 else []),
            *([f"Trained as chosen: {', '.join(chosen)}."] if chosen else []),
        ],
        best="",
    )


def _largest(summaries: dict[str, Summary | None]) -> str | None:
    known = {name: summary.mean for name, summary in summaries.items() if summary is not None}
    return max(known, key=lambda name: known[name]) if known else None


def _runs(results: Results, home: str, strategy: str | None) -> list[str]:
    """The trained runs of a strategy, one for each seed: what `ssl_ood detect` scores with."""
    selection = {"in_distribution": home, "strategy": strategy, "variant": BASE}
    runs = results.spec["runs"]
    return [run["run"] for run in runs if all(run[key] == selection[key] for key in selection)]


def _chosen_measure(results: Results, *, chosen: bool, **of: Any) -> Record:
    return {"chosen": chosen} | measure(results, **of)


def _value_of_chosen(records: Sequence[Record]) -> Cell:
    return value(records)._replace(bold=records[0]["chosen"])


def _interval(records: Sequence[Record]) -> Cell:
    low, high = records[0]["low"], records[0]["high"]
    known = records[0]["n"] and low == low  # not NaN, as of one seed without an interval
    return Cell(f"{low:.2f} to {high:.2f}" if known else "")


def _tick(records: Sequence[Record]) -> Cell:
    return Cell("√" if records[0]["chosen"] else "")


@register(
    "table",
    "thresholds",
    title="Thresholds",
    notes="Thresholds of a score at false-alarm rates, and what they flag.",
    needs={"measurements", "scores"},
    settings=Rates,
)
def thresholds_table(results: Results) -> Table:
    """Thresholds that calibration images give, and the share of test and OOD images above them.

    A threshold at the rate a is the k-th largest score of n calibration images, with k = floor(a
    (n + 1)): of new normal images at most a share a is above it, on average over calibrations.
    """
    flags = {run["run"]: _Flags(results, run) for run in results.spec["runs"]}
    rows, sets = [], []
    for home in results.in_distributions():
        sets += [name for name in results.ood_sets(home) if name not in sets]
        for strategy in results.strategies(home):
            title = results.title("strategies", strategy)
            for rate in results.options.rates:
                of = {"in_distribution": home, "strategy": strategy, "rate": rate}
                rows.append(Row([title, f"{100 * rate:g} %"], of, rule=title != ""))
                title = ""
    shown: dict[str, Piece] | None = None
    columns = [
        Column("Threshold", {"metric": THRESHOLD, "unit": "score"}, pieces=shown),
        Column("Test images", {"metric": FLAGGED, "dataset": TEST}, "Flagged (%)"),
        *(
            Column(
                results.title("datasets", name), {"metric": FLAGGED, "dataset": name}, "Flagged (%)"
            )
            for name in sets
        ),
    ]

    def of_rate(_: Results, *, rate: float, metric: str, dataset: str = TEST, **of: Any) -> Record:
        rates = [
            flag.measured(metric, dataset, rate)
            for flag in flags.values()
            if (flag.home, flag.strategy) == (of["in_distribution"], of["strategy"])
        ]
        summary = summarise([f for f in rates if f is not None], results.confidence)
        record = measure(results, metric=metric, dataset=dataset, summary=summary, **of)
        return {"rate": rate} | record | {"score": results.score, "temperature": results.tau}

    return Grid(results, rows, columns, measure=of_rate).table(
        f"Thresholds of an anomaly score of {titles_of_homes(results)}, and what lies above them; "
        f"{score_words(results)}.",
        ["Negatives", "False alarms"],
        [
            _calibrated(flags),
            "The k-th largest of n calibration scores is the threshold, k the largest whole number "
            "up to the rate times n + 1: of new normal images no more than the rate on the left is "
            "above it, on average over calibrations. Flagged: the share above it.",
        ],
        best="",
        groups_in_markdown=True,
        over_images="Wilson",
    )


class _Flags:
    """What the thresholds of one run flag."""

    def __init__(self, results: Results, run: dict[str, Any]) -> None:
        self.home, self.strategy, self.seed = run["in_distribution"], run["strategy"], run["seed"]
        self.run, self.confidence = run["run"], results.confidence
        self.scores: dict[str, Any] = {}
        self.calibration, self.own_set = None, False
        path = results.scores_of.get(run["run"])
        if path is not None:
            self._read(path, results, run)

    def _read(self, path: Path, results: Results, run: dict[str, Any]) -> None:
        from ssl_ood.evaluation.score_columns import column_name
        from ssl_ood.evaluation.score_files import read_scores
        from ssl_ood.measures.conformal import Calibration

        table = read_scores(path, run["run"])
        values, role = table[column_name(results.score, results.tau)], table["role"]
        self.scores = {TEST: values[role == "test"]}
        for name in run["ood"]:
            chosen = values[(role == "ood") & (table["dataset"] == name)]
            if len(chosen):
                self.scores[name] = chosen
        own = values[role == "calibration"]
        self.own_set = len(own) > 0
        self.calibration = Calibration.of(own if self.own_set else self.scores[TEST])

    def measured(self, metric: str, dataset: str, rate: float) -> Measurement | None:
        """The threshold at a rate, or the share of a set above it; None where there is none."""
        from ssl_ood.measures.metrics import accuracy_interval

        if self.calibration is None or int(rate * (len(self.calibration) + 1) + 1e-9) < 1:
            return None
        if metric == THRESHOLD:
            nan = float("nan")
            return Measurement(self.run, self.seed, self.calibration.threshold(rate), nan, nan)
        if dataset not in self.scores:
            return None
        flagged = self.calibration.flagged(self.scores[dataset], rate)
        interval = accuracy_interval(flagged, [True] * len(flagged), self.confidence)
        return Measurement(self.run, self.seed, *interval)


def _calibrated(flags: dict[str, _Flags]) -> str:
    """What the thresholds were set on, and rates that it is too small for."""
    known = [flag for flag in flags.values() if flag.calibration is not None]
    if not known:
        return "Nothing has been scored yet."
    counts = sorted({len(flag.calibration) for flag in known})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if not all(flag.own_set for flag in known):
        return (
            f"Set on the {number} test images, since the study names no calibration split: what "
            "the test images say of themselves is too good."
        )
    return (
        f"Set on {number} calibration images, which are neither trained on nor tested; rates below "
        f"1 in {counts[0] + 1} have no threshold."
    )
