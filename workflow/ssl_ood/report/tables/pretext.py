"""Chapter 4 in one table: pretext tasks on one backbone with one budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ssl_ood.common.registry import lookup, register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.history import device_hours
from ssl_ood.report.layout import Table
from ssl_ood.report.options import NearAndFar
from ssl_ood.report.records import OURS, Record, measure
from ssl_ood.report.results import Measurement, Results, summarise
from ssl_ood.report.table_parts import model_title, score_words, titles_of_homes
from ssl_ood.report.tables.quality import TEST_IMAGES, models

HOURS = "training_hours"  # a metric of this table: hours of a device


@register(
    "table",
    "pretext",
    title="Pretext tasks",
    notes="Methods of several studies beside the untrained network: k-NN accuracy, AUROC against a "
    "near and a far set, sensitivity and what the training took (chapter 4).",
    needs={"measurements", "history"},
    settings=NearAndFar,
    baselines=True,
)
def pretext_table(results: Results) -> Table:
    """A row for each method: that of the table's study, then those of others."""
    options, vote = results.options, results.spec["evaluation"]
    columns = [
        Column(f"{vote['knn']}-NN accuracy", {"metric": "knn_accuracy"}, TEST_IMAGES),
        Column("Sensitivity", {"metric": "sensitivity"}, TEST_IMAGES),
        *(
            Column(results.title("datasets", name), {"dataset": name}, "AUROC (%)")
            for name in (options.near, options.far)
        ),
        Column("hours", {"metric": HOURS, "unit": "hours"}, "Training", best=False),
    ]
    rows = [row for home in results.in_distributions() for row in _rows(results, home)]
    return Grid(results, rows, columns, measure=_Found(results).record).table(
        f"Pretext tasks on {titles_of_homes(results)}, one backbone and one budget; "
        f"{score_words(results)}.",
        ["Method"],
        [
            "Bold: best of the column among the trained networks.",
            "Budget: forward passes of the backbone over whole images, a backward pass counting as "
            "two; a training's hours are those of its device.",
        ],
        best="column",
    )


def _rows(results: Results, home: str) -> list[Row]:
    """The untrained network last."""
    own = models(results, home)
    trained = [Row([_title(results, home, s)], _of(home, s, v)) for s, v in own if v == BASE]
    others = [
        Row([name], {"in_distribution": home, "system": name})
        for name, other in results.baselines.items()
        if home in other.in_distributions()
    ]
    untrained = [
        Row([model_title(results, s, v)], _of(home, s, v), rule=True, best=False)
        for s, v in own
        if v != BASE
    ]
    return [*trained, *others, *untrained]


def _of(home: str, strategy: str, variant: str) -> dict[str, str]:
    return {"in_distribution": home, "strategy": strategy, "variant": variant}


def _title(results: Results, home: str, strategy: str) -> str:
    """The method of the table's study; the strategy too where it has negatives."""
    method = lookup("method", results.training_method(home, strategy)).title
    if strategy == NO_NEGATIVES:
        return method
    return f"{method}, {results.title('strategies', strategy)}"


@dataclass(frozen=True)
class _Found:
    """Records of measurements, and of what the logs of the trainings say."""

    results: Results

    @cached_property
    def hours(self) -> dict[str, dict[str, float]]:
        """By the name of the system, then of the run."""
        every = {OURS: self.results} | self.results.baselines
        return {name: device_hours(r.history, r.spec) for name, r in every.items()}

    def record(self, results: Results, in_distribution: str, metric: str = "auroc", **of) -> Record:
        """A cell; hours are a mean over seeds like any other number."""
        if metric != HOURS:
            return measure(results, in_distribution, metric=metric, **of)
        system = of.get("system", OURS)
        shown = results.baselines.get(system, results)
        spent = self.hours[system]
        chosen = [
            Measurement(run["run"], run["seed"], spent[run["run"]], math.nan, math.nan)
            for run in shown.spec["runs"]
            if run["run"] in spent
            and run["in_distribution"] == in_distribution
            and all(run[key] == of[key] for key in ("strategy", "variant") if key in of)
        ]
        summary = summarise(chosen, results.confidence)
        return measure(results, in_distribution, metric=metric, summary=summary, **of)
