"""The scores of every image of a run: results/scores/RUN.parquet, one row for each image.

Rows by role: `test` (in-distribution test images), `ood`, `calibration` where the study names a
split for it (images that thresholds are set on; they count in no AUROC), and for the sensitivity
score of section 3.4 `sensitivity_held_out` and `sensitivity_test`: training images held out and
the test images, both scored against the rest of the training images. Columns: set, dataset, role,
index, label, knn_label (of a weighted vote) and knn_majority_label (of test rows), and one column
for each score and temperature (`score_columns.column_name`). Larger scores are more anomalous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.scoring import Evidence, as_columns, compute_scores
from ssl_ood.evaluation.sets import EvaluatedSet
from ssl_ood.measures.knn import knn_votes, nearest
from ssl_ood.measures.sensitivity import sensitivity_split
from ssl_ood.methods.base import Model
from ssl_ood.study.settings import Evaluation

VOTES = ("knn_label", "knn_majority_label")


def score_sets(
    sets: list[EvaluatedSet], model: Model, evaluation: Evaluation, device: torch.device
) -> dict[str, np.ndarray]:
    """The columns of the table: the test, OOD and calibration images, then those of the sensitivity
    score."""
    (train,) = (s for s in sets if s.role == "train")
    (test,) = (s for s in sets if s.role == "test")
    others = [s for s in sets if s.role == "ood"]
    others += [s for s in sets if s.role == "calibration"]
    logits = "logits" in lookup("method", model.settings.method).more["offers"]

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    train_features, labels = on_device(train.features), on_device(train.labels)
    test_features = on_device(test.features)

    def scored(images: Tensor, parts: list[EvaluatedSet], reference: Any) -> dict[str, np.ndarray]:
        with torch.no_grad():
            outputs = model.logits(images) if logits else None
        embeddings = {
            name: (
                on_device(np.concatenate([part.embeddings[name] for part in parts])),
                on_device(values)[reference],
            )
            for name, values in train.embeddings.items()
        }
        evidence = Evidence(
            images, train_features[reference], labels[reference], outputs, embeddings
        )
        return compute_scores(evidence, evaluation)

    everything = torch.cat([test_features, *(on_device(s.features) for s in others)])
    rows = _rows([test, *others], ["test", *(s.role for s in others)])
    rows |= scored(everything, [test, *others], slice(None))
    rows |= _image_scores([test, *others], evaluation)
    rows |= _votes(test_features, train_features, test, train, evaluation, len(rows["set"]))
    del everything

    held, reference = sensitivity_split(
        len(train.labels), len(test.labels), evaluation.sensitivity.max_share, model.settings.seed
    )
    part = EvaluatedSet(
        train.name,
        train.dataset,
        "train",
        train.features[held],
        train.labels[held],
        {name: values[held] for name, values in train.image_scores.items()},
        {name: values[held] for name, values in train.embeddings.items()},
    )
    roles = ["sensitivity_held_out", "sensitivity_test"]
    again = _rows([part, test], roles, [held, np.arange(len(test.labels))])
    again |= dict.fromkeys(VOTES, np.full(len(again["set"]), -1))
    again |= scored(torch.cat([train_features[held], test_features]), [part, test], reference)
    again |= _image_scores([part, test], evaluation)
    return {name: np.concatenate([rows[name], again[name]]) for name in rows}


def _rows(sets: list[EvaluatedSet], roles: list[str], indices: list | None = None) -> dict:
    indices = indices or [np.arange(len(s.labels)) for s in sets]
    counts = [len(s.labels) for s in sets]
    return {
        "set": np.repeat([s.name for s in sets], counts),
        "dataset": np.repeat([s.dataset for s in sets], counts),
        "role": np.repeat(roles, counts),
        "index": np.concatenate(indices),
        "label": np.concatenate([s.labels for s in sets]),
    }


def _image_scores(sets: list[EvaluatedSet], evaluation: Evaluation) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for name in sets[0].image_scores:
        values = np.concatenate([s.image_scores[name] for s in sets])
        columns |= as_columns(lookup("score", name), values, evaluation)
    return columns


def _votes(
    test_features: Tensor,
    train_features: Tensor,
    test: EvaluatedSet,
    train: EvaluatedSet,
    evaluation: Evaluation,
    n_rows: int,
) -> dict[str, np.ndarray]:
    """Labels that the nearest training images vote for; -1 beyond the test rows, without labels
    and where the training images have but one, so that nothing is to be told apart.

    Either way of voting uses all k neighbours of the same search; k = 0 asks for no vote.
    """
    columns = {name: np.full(n_rows, -1) for name in VOTES}
    unlabelled = min(train.labels.min(), test.labels.min()) < 0
    if evaluation.knn == 0 or unlabelled or train.labels.min() == train.labels.max():
        return columns
    similarities, where = nearest(test_features, train_features, evaluation.knn)
    labels = torch.from_numpy(train.labels).to(where.device)[where]
    classes = int(train.labels.max()) + 1
    for name, temperature in zip(VOTES, (evaluation.knn_temperature, None), strict=True):
        voted = knn_votes(similarities, labels, classes, temperature)
        columns[name][: len(test.labels)] = voted.cpu().numpy()
    return columns
