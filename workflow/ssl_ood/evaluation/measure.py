"""From the scores of a run to its measurements (`measurements.COLUMNS`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ssl_ood.common.vocabulary import AVERAGE, AVERAGE_HONEST, NO_DATA, POOLED
from ssl_ood.datasets.names import AT, PackedSet
from ssl_ood.evaluation.score_columns import split_column
from ssl_ood.evaluation.score_files import NOT_SCORES
from ssl_ood.measures import metrics
from ssl_ood.methods.settings import RunSettings

TPR = 0.95  # of the metric fpr95
OF_OOD = ("auroc", "fpr95", "aupr")
SOFT_CLASSES = {
    "occupied": "occupied_soft_classes",
    "occupied_train": "occupied_soft_classes_train",
    "entropy_of_mean": "entropy_of_mean",
    "mean_entropy": "mean_entropy",
    "log_k": "log_k",
}


@dataclass(frozen=True)
class OODSet:
    """An OOD set of a run; photographs: cut from photographs, as auxiliary negatives are;
    available: its images are there; beside: it counts in no mean over sets; size: its own, in
    pixels, where that is not the study's."""

    dataset: str
    split: str
    photographs: bool = False
    available: bool = True
    beside: bool = False
    size: int | None = None

    def packed(self, run: RunSettings) -> PackedSet:
        """Its images, as they were packed for a run."""
        own = run.packed(self.dataset, self.split)
        return own if self.size is None else replace(own, size=self.size, own_size=True)

    @property
    def called(self) -> str:
        """See `PackedSet.called`."""
        return self.dataset if self.size is None else f"{self.dataset}{AT}{self.size}"


def measure(
    table: dict[str, np.ndarray],
    sets: Sequence[OODSet],
    confidence: float,
    soft_classes: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of measurements from a table of scores (`score_table`).

    For every score and temperature: auroc, fpr95 and aupr against each OOD set; of those that are
    not beside their mean (average), that over the sets that are not cut from photographs where some
    are (average_without_photographs), and, of two or more, all of their images at once (pooled);
    sensitivity. Of the run: the k-NN accuracies where there are labels, of the weighted vote and of
    the majority; the teacher's soft-classes where the method has them. What needs a set that is not
    there has the status no_data.
    """
    for column in table:
        if column not in NOT_SCORES:
            score, temperature = split_column(column)
            same = {"score": score}
            if temperature is not None:
                same["temperature"] = temperature
            for row in _of_score(table, column, sets, confidence):
                yield same | row
    yield from _of_run(table, confidence, soft_classes or {})


def _of_score(
    table: dict[str, np.ndarray], column: str, sets: Sequence[OODSet], confidence: float
) -> Iterator[dict[str, Any]]:
    role, values = table["role"], table[column]
    below = values[role == "test"]
    outs = {
        s.called: values[(role == "ood") & (table["dataset"] == s.called)]
        for s in sets
        if s.available
    }
    for name, members in groups_of(sets).items():
        if not members <= outs.keys():
            yield from ({"dataset": name, "metric": m, "status": NO_DATA} for m in OF_OOD)
            continue
        parts = [outs[s.called] for s in sets if s.called in members]
        if name == POOLED:
            parts = [np.concatenate(parts)]
        row = {"dataset": name, "n_in": len(below), "n_out": sum(map(len, parts))}
        yield row | _interval("auroc", metrics.mean_auroc_interval(below, parts, confidence))
        fpr = [metrics.fpr_at_tpr(below, out, TPR) for out in parts]
        yield row | {"metric": "fpr95", "value": np.mean(fpr).item()}
        aupr = [metrics.aupr(below, out) for out in parts]
        yield row | {"metric": "aupr", "value": np.mean(aupr).item()}
    held, again = values[role == "sensitivity_held_out"], values[role == "sensitivity_test"]
    sensitivity = metrics.auroc_interval(held, again, confidence)
    yield {"n_in": len(held), "n_out": len(again)} | _interval("sensitivity", sensitivity)


def groups_of(sets: Sequence[OODSet]) -> dict[str, set[str]]:
    """What an AUROC is reported for: each OOD set, their averages, and all sets pooled."""
    every = {s.called for s in sets if not s.beside}
    honest = {s.called for s in sets if not s.beside and not s.photographs}
    groups = {s.called: {s.called} for s in sets}
    if every:
        groups[AVERAGE] = every
    if honest and honest != every:
        groups[AVERAGE_HONEST] = honest
    if len(every) > 1:
        groups[POOLED] = every
    return groups


def _of_run(
    table: dict[str, np.ndarray], confidence: float, soft_classes: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    test = table["role"] == "test"
    labels = table["label"][test]
    for metric, column in (
        ("knn_accuracy", "knn_label"),
        ("knn_accuracy_majority", "knn_majority_label"),
    ):
        voted = table[column][test]
        if voted.min() >= 0:
            share = metrics.accuracy_interval(voted, labels, confidence)
            yield {"n_in": len(labels)} | _interval(metric, share)
    for key, metric in SOFT_CLASSES.items():
        if key in soft_classes:
            yield {"metric": metric, "value": float(soft_classes[key]), "n_in": len(labels)}


def _interval(metric: str, interval: metrics.Interval) -> dict[str, Any]:
    value, low, high = interval
    return {"metric": metric, "value": value, "low": low, "high": high, "over": "images"}
