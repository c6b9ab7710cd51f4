"""A score that sees features, with an option."""

from __future__ import annotations

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Count, Settings


class Options(Settings):
    """Options of the score."""

    k: Count = Field(5, description="which neighbour counts")


@register(
    "score",
    "knn_distance",
    title="k-NN",
    notes="distance to the k-th nearest training feature",
    needs={"features"},
    settings=Options,
)
def knn_distance(test, train, k):
    """(N, d), (M, d) -> (N,)."""
    import torch

    return torch.cdist(test.double(), train.double()).kthvalue(k, dim=1).values
