"""Computes the scores that a study names, from features; see `ssl_ood.evaluation.scores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import Entry, lookup
from ssl_ood.common.settings import read_settings
from ssl_ood.evaluation.score_columns import column_name
from ssl_ood.study.settings import Evaluation


@dataclass(frozen=True)
class Evidence:
    """What scores are computed from, on one device.

    test: (N, d) features of the images to score, train: (M, d) those of the training images;
    labels: (M,) int64 of the training images, -1 for none; logits: (N, K) of the images to score;
    embeddings: by name, (test, train) of what is compared instead of features.
    """

    test: Tensor
    train: Tensor
    labels: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@torch.no_grad()
def compute_scores(evidence: Evidence, evaluation: Evaluation) -> dict[str, np.ndarray]:
    """The scores named in `evaluation.scores`, float64 arrays (N,) by column name; those that
    see images aside, which are computed where features are extracted.

    Raises UserError for a score that is not declared or lacks what it needs.
    """
    columns: dict[str, np.ndarray] = {}
    for name in evaluation.scores:
        entry = lookup("score", name, "evaluation.scores")
        if "images" not in entry.needs:
            columns |= _columns(entry, evidence, evaluation)
    return columns


def settings_of(entry: Entry, evaluation: Evaluation) -> dict[str, Any]:
    """The keyword arguments of a score: the settings that it declares, and the temperatures."""
    own = evaluation.parameters.get(entry.name, {})
    settings = read_settings(entry.settings, own, f"evaluation.parameters.{entry.name}")
    named = {name: getattr(settings, name) for name in entry.settings.model_fields}
    return named | ({"taus": temperatures(evaluation)} if entry.more.get("temperature") else {})


def temperatures(evaluation: Evaluation) -> list[float]:
    """All temperatures that are scored, ascending, the shown one among them."""
    return sorted({*evaluation.taus, evaluation.tau})


def _columns(entry: Entry, evidence: Evidence, evaluation: Evaluation) -> dict[str, np.ndarray]:
    inputs: list[Tensor] = []
    if "features" in entry.needs:
        inputs += [evidence.test, evidence.train]
    if (embedding := entry.more.get("embedding")) is not None:
        inputs += evidence.embeddings[embedding]
    for need, given in (("logits", evidence.logits), ("labels", evidence.labels)):
        if need in entry.needs:
            if given is None:
                raise UserError(
                    f"The score {entry.name} needs {need}, which this run does not have: take it "
                    "out of evaluation.scores of its study."
                )
            inputs.append(given)
    scores = entry.load()(*inputs, **settings_of(entry, evaluation))
    return as_columns(entry, scores.double().cpu().numpy(), evaluation)


def as_columns(entry: Entry, scores: np.ndarray, evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Scores (N,) under their column's name, or (N, T), one column per temperature."""
    if not entry.more.get("temperature"):
        return {column_name(entry.name): scores}
    taus = temperatures(evaluation)
    return {column_name(entry.name, tau): scores[:, t] for t, tau in enumerate(taus)}
