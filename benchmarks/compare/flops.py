"""Model FLOPs of a training step, counted from the shapes: what has to be multiplied, whoever does
it and however often. A multiplication with its addition counts two."""

from __future__ import annotations

from itertools import pairwise


def vit(size: int, channels: int, patch: int, width: int, depth: int, mlp_ratio: float = 4) -> dict:
    """Forward FLOPs of a vision transformer on one view of size x size pixels, by kind.

    patches: the embedding of the patches; blocks: matrix products of the blocks and of attention.
    """
    patches = (size // patch) ** 2
    tokens = patches + 1
    linear = 2 * tokens * width * width * (3 + 1 + 2 * mlp_ratio)  # qkv, projection, MLP
    attention = 2 * (2 * tokens * tokens * width)  # queries by keys, weights by values
    return {
        "patches": 2 * patches * channels * patch**2 * width,
        "blocks": depth * (linear + attention),
    }


def head(features: int, layers: int, hidden: int, bottleneck: int, out: int) -> int:
    """Forward FLOPs of the projection head on one view."""
    widths = [features, *[hidden] * (layers - 1), bottleneck, out]
    return 2 * sum(a * b for a, b in pairwise(widths))


def training_step(config: dict, *, negatives: bool = True) -> float:
    """FLOPs for one image of a batch (with its negative): student, its gradient, teacher.

    A product of the forward pass costs two in the backward pass: the gradients of both factors. The
    patches need only that of the weights.
    """
    backbone, views = config["backbone"], config["views"]
    global_views, local_views = views["positive"]
    if negatives:
        global_views += views["negative"][0]
        local_views += views["negative"][1]
    width = backbone.get("embed_dim", 384)  # of ViT-S
    sizes = {name: config["head"][name] for name in ("layers", "hidden", "bottleneck", "out")}
    of_head = head(width, **sizes)
    total = 0.0
    for size, student, teacher in (
        (views["global_size"], global_views, views["positive"][0]),
        (views["local_size"], local_views, 0),
    ):
        view = vit(size, 3, backbone.get("patch_size", 16), width, backbone.get("depth", 12))
        forward = view["patches"] + view["blocks"] + of_head
        gradients = view["patches"] + 2 * (view["blocks"] + of_head)
        total += student * (forward + gradients) + teacher * forward
    return total
