"""Differences of two models, or of two evaluations of one model, with their intervals.

They are taken within a seed, so that what a seed does to both sides cancels: over several seeds the
interval is Student's. Of one seed it is over images, those that both sides have scored being
compared image by image; it says nothing of how far another training would lead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_ood.common.vocabulary import AVERAGE, AVERAGE_HONEST, POOLED
from ssl_ood.datasets.names import AT
from ssl_ood.evaluation.score_columns import column_name
from ssl_ood.evaluation.score_files import read_scores
from ssl_ood.measures.metrics import (
    Interval,
    ModelScores,
    accuracy_difference,
    auroc_contrast,
    auroc_difference,
    mean_auroc_difference,
)
from ssl_ood.report.results import Measurement, Results, Summary, summarise

VOTED = {"knn_accuracy": "knn_label", "knn_accuracy_majority": "knn_majority_label"}
OF_IMAGES = (*VOTED, "auroc", "sensitivity")  # metrics of which images can be compared
NO_INTERVAL = (math.nan, math.nan)


class Of(NamedTuple):
    """What is measured of a run. ood: for the AUROC an OOD set, an average or `pooled`, or several
    sets, whose mean is meant; score: without it the one shown."""

    metric: str = "auroc"
    ood: str | tuple[str, ...] = ""
    score: str = ""


def difference(
    results: Results,
    one: Mapping[int, Measurement],
    other: Mapping[int, Measurement],
    of: tuple[Of, Of],
    factor: float = 1.0,
) -> Summary | None:
    """Summary of `one` minus `other`, measurements by seed, within each seed that both have.

    of: what either side has measured; factor: 100 for points. None where no seed is common; without
    limits where a single seed has no interval over images.
    """
    seeds = sorted(one.keys() & other.keys())
    limits: tuple[float, float] = NO_INTERVAL
    if len(seeds) == 1:
        sides = [
            (side[seeds[0]].run, selection)
            for side, selection in zip((one, other), of, strict=True)
        ]
        interval = paired_difference(results, *sides)
        limits = (interval.low, interval.high) if interval else NO_INTERVAL
    pairs = []
    for seed in seeds:
        runs = dict.fromkeys([one[seed].run, other[seed].run])
        values = (one[seed].value - other[seed].value, *limits)
        pairs.append(Measurement(";".join(runs), seed, *(factor * v for v in values)))
    return summarise(pairs, results.confidence)


def paired_difference(
    results: Results, one: tuple[str, Of], other: tuple[str, Of]
) -> Interval | None:
    """What is measured of one run minus what is of another, in 0..1, with its interval over images.

    one, other: the run and what is measured of it. Runs are compared on the same images, at another
    size or not; one run also on two OOD sets (`auroc_contrast`). None where the scores of the
    images are not there, or where there is no such interval.
    """
    files = results.scores_of
    if one[0] not in files or other[0] not in files:
        return None
    metrics = {one[1].metric, other[1].metric}
    if metrics <= VOTED.keys():
        return _of_votes(results, one, other)
    if len(metrics) > 1 or not metrics <= {*OF_IMAGES}:
        return None
    if metrics == {"sensitivity"}:
        sides = [
            (_table(files[run]), _column(results, selection)) for run, selection in (one, other)
        ]
        return auroc_difference(*(_held_out(*side) for side in sides), results.confidence)
    return _of_aurocs(results, one, other)


def difference_of_temperatures(
    results: Results, runs: list[str], one: float, other: float
) -> Interval | None:
    """Sensitivity at a temperature of equation 6.1 minus that at another, in 0..1, mean over runs
    of a seed, with its interval over images; None where the scores of the images are not there.

    All runs of a seed hold the same images out.
    """
    if not results.scores_of.keys() >= set(runs):
        return None
    columns = [column_name("cosine_tau", tau) for tau in (one, other)]
    tables = [_table(results.scores_of[run]) for run in runs]
    pairs = [tuple(_held_out(table, column) for column in columns) for table in tables]
    return mean_auroc_difference(pairs, results.confidence)


def difference_of_gains(results: Results, runs: list[str], ood: str) -> Interval | None:
    """(a - b) - (c - d) of the AUROC of four runs, in 0..1, with its interval over images; None
    where the scores of the images are not there."""
    if not results.scores_of.keys() >= set(runs):
        return None
    models = [_against(results, run, Of(ood=ood), _sets(results, run, ood)) for run in runs]
    if None in models:
        return None
    a, b, c, d = models
    half = mean_auroc_difference([(a, b), (d, c)], results.confidence)
    return Interval(*(2 * value for value in half))


def _of_votes(results: Results, one: tuple[str, Of], other: tuple[str, Of]) -> Interval | None:
    tables = [_table(results.scores_of[run]) for run, _ in (one, other)]
    columns = [VOTED[selection.metric] for _, selection in (one, other)]
    voted = [_of(table, column, "test") for table, column in zip(tables, columns, strict=True)]
    if min(votes.min() for votes in voted) < 0:
        return None
    return accuracy_difference(*voted, _of(tables[0], "label", "test"), results.confidence)


def _of_aurocs(results: Results, one: tuple[str, Of], other: tuple[str, Of]) -> Interval | None:
    names = [_sets(results, run, selection.ood) for run, selection in (one, other)]
    scores = [
        _against(results, *side, sets) for side, sets in zip((one, other), names, strict=True)
    ]
    if None in scores:
        return None
    images = [[name.partition(AT)[0] for name in sets] for sets in names]
    if images[0] == images[1]:
        return auroc_difference(*scores, results.confidence)
    same = one[0] == other[0] and one[1].score == other[1].score
    if same and len(names[0]) == len(names[1]) == 1:
        (first,), (second,) = (model.out_sets for model in scores)
        return auroc_contrast(scores[0].in_scores, first, second, results.confidence)
    return None


def _sets(results: Results, run: str, ood: str | tuple[str, ...]) -> list[str]:
    """The OOD sets of an AUROC of a run; those that are beside count in no average."""
    if isinstance(ood, tuple):
        return list(ood)
    if ood not in (AVERAGE, AVERAGE_HONEST, POOLED):
        return [ood]
    (own,) = (entry["ood"] for entry in results.spec["runs"] if entry["run"] == run)
    photographs = results.spec["photographs"] if ood == AVERAGE_HONEST else ()
    return [name for name in own if name not in photographs]


def _against(results: Results, run: str, selection: Of, sets: Sequence[str]) -> ModelScores | None:
    """The scores of the test images and of OOD sets; None where one of these is not there."""
    table, column = _table(results.scores_of[run]), _column(results, selection)
    outs = [_of(table, column, "ood", name) for name in sets]
    if not all(len(out) for out in outs):
        return None
    return ModelScores(
        _of(table, column, "test"), [np.concatenate(outs)] if selection.ood == POOLED else outs
    )


def _held_out(table: dict[str, np.ndarray], column: str) -> ModelScores:
    """The two sides of the sensitivity score."""
    again = _of(table, column, "sensitivity_test")
    return ModelScores(_of(table, column, "sensitivity_held_out"), [again])


def _column(results: Results, selection: Of) -> str:
    score = selection.score or results.score
    return column_name(score, results.tau_of(score))


def _of(table: dict[str, np.ndarray], column: str, role: str, dataset: str = "") -> np.ndarray:
    chosen = table["role"] == role
    if dataset:
        chosen &= table["dataset"] == dataset
    return table[column][chosen]


@lru_cache(maxsize=16)  # a claim on temperatures reads every run of a seed
def _table(path: Path) -> dict[str, np.ndarray]:
    return read_scores(path, path.stem)  # files of scores are named after their runs
