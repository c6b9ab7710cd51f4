"""A score that sees images, for the runs of one method: how badly they are reconstructed."""

from __future__ import annotations

from ssl_ood.common.registry import register


@register(
    "score",
    "reconstruction",
    title="Reconstruction",
    notes="mean squared error of the pixels",
    needs={"images"},
    method="toy",
)
def reconstruction(model, images):
    """(n, S, S, 3) uint8 -> (n,)."""
    views = model.views(images)
    return (model.network(views) - views).square().mean((1, 2, 3))
