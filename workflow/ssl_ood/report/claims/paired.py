"""Two models on the same images: the difference with its interval over images.

For one seed it takes the place of the interval over seeds; it says nothing of how far another
training would lead.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from ssl_ood.common.vocabulary import AVERAGE, AVERAGE_HONEST, POOLED
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
from ssl_ood.report.results import Results

Side = tuple[str, str]  # a run and a score
VOTED = {"knn_accuracy": "knn_label", "knn_accuracy_majority": "knn_majority_label"}


def paired_difference(
    results: Results, one: Side, other: Side, metric: str, ood: str
) -> Interval | None:
    """The metric of one run, by a score, minus that of another, in 0..1, with its interval over
    images.

    None where the scores of the images are not there, or where the metric has no such interval.
    """
    files = results.scores_of
    if one[0] not in files or other[0] not in files:
        return None
    tables = [_table(files[run]) for run, _ in (one, other)]
    columns = [column_name(score, results.tau_of(score)) for _, score in (one, other)]
    both = list(zip(tables, columns, strict=True))
    confidence = results.confidence
    if metric in VOTED:
        voted = [_of(table, VOTED[metric], "test") for table in tables]
        if min(votes.min() for votes in voted) < 0:
            return None
        return accuracy_difference(*voted, _of(tables[0], "label", "test"), confidence)
    if metric == "sensitivity":
        return auroc_difference(*(_held_out(*side) for side in both), confidence)
    if metric != "auroc":
        return None
    return auroc_difference(*(_against(results, *side, ood) for side in both), confidence)


def contrast_of_sets(results: Results, run: str, one: str, other: str) -> Interval | None:
    """AUROC of a run against OOD set `one` minus that against `other`, in 0..1, with its interval
    over images; None where the scores of the images are not there."""
    if run not in results.scores_of:
        return None
    table, column = _table(results.scores_of[run]), column_name(results.score, results.tau)
    sets = [_of(table, column, "ood", ood) for ood in (one, other)]
    return auroc_contrast(_of(table, column, "test"), *sets, results.confidence)


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
    column = column_name(results.score, results.tau)
    a, b, c, d = (_against(results, _table(results.scores_of[r]), column, ood) for r in runs)
    half = mean_auroc_difference([(a, b), (d, c)], results.confidence)
    return Interval(*(2 * value for value in half))


def _held_out(table: dict[str, np.ndarray], column: str) -> ModelScores:
    """The two sides of the sensitivity score."""
    again = _of(table, column, "sensitivity_test")
    return ModelScores(_of(table, column, "sensitivity_held_out"), [again])


def _against(results: Results, table: dict[str, np.ndarray], column: str, ood: str) -> ModelScores:
    """The scores of the test images and of an OOD set, or of those of an average."""
    names = list(dict.fromkeys(table["dataset"][table["role"] == "ood"]))
    if ood == AVERAGE_HONEST:
        names = [name for name in names if name not in results.spec["photographs"]]
    elif ood not in (AVERAGE, POOLED):
        names = [ood]
    sets = [_of(table, column, "ood", name) for name in names]
    if ood == POOLED:
        sets = [np.concatenate(sets)]
    return ModelScores(_of(table, column, "test"), sets)


def _of(table: dict[str, np.ndarray], column: str, role: str, dataset: str = "") -> np.ndarray:
    chosen = table["role"] == role
    if dataset:
        chosen &= table["dataset"] == dataset
    return table[column][chosen]


@lru_cache(maxsize=16)  # a claim on temperatures reads every run of a seed
def _table(path: Path) -> dict[str, np.ndarray]:
    return read_scores(path, path.stem)  # files of scores are named after their runs
