"""Names of the scores' columns. Apart from the scores, so that a reader need not import torch."""

from __future__ import annotations


def column_name(score: str, tau: float | None = None) -> str:
    """Name of a score's column: `mahalanobis`, `cosine_tau@0.040`."""
    if tau is None:
        return score
    digits = f"{tau:.3f}"
    return f"{score}@{digits if float(digits) == tau else repr(float(tau))}"


def split_column(name: str) -> tuple[str, float | None]:
    """(score, tau or None) of a column name; the inverse of `column_name`."""
    score, _, tau = name.partition("@")
    return score, float(tau) if tau else None
