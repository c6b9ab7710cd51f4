"""Position embeddings resampled as the DINO reference does, in place of timm's way.

A vision transformer has one position embedding for each patch of a global view. For a local view,
of fewer patches, they are resampled; timm does so with antialiasing and on the grid's corners.
"""

from __future__ import annotations

import types

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_ood.common.errors import UserError

EXTRA = 0.1  # of a patch, that the reference adds to a side: it shifts the sample points with it


def resample(positions: Tensor, height: int, width: int) -> Tensor:
    """(H, W, d) position embeddings -> (height, width, d).

    Bicubic (a = -0.75) without antialiasing. Output i samples at (i + 0.5) H / (height + 0.1) - 0.5
    and not at (i + 0.5) H / height - 0.5. What has the asked size already is left as it is.
    """
    rows, columns, _ = positions.shape
    if (rows, columns) == (height, width):
        return positions
    factors = (height + EXTRA) / rows, (width + EXTRA) / columns
    stacked = positions.permute(2, 0, 1)[None].float()
    return F.interpolate(stacked, scale_factor=factors, mode="bicubic")[0].permute(1, 2, 0)


def resample_as_the_reference(backbone: nn.Module, name: str) -> None:
    """Lets a vision transformer of timm resample its position embeddings by `resample`.

    Raises UserError for a network without a class token and an embedding of each position.
    """
    plain = (
        getattr(backbone, "pos_embed", None) is not None
        and getattr(backbone, "cls_token", None) is not None
        and backbone.num_prefix_tokens == 1
        and not backbone.no_embed_class
        and backbone.dynamic_img_size
    )
    if not plain:
        raise UserError(
            f"The backbone {name} is not a vision transformer with a class token and position "
            "embeddings that are resampled: take backbone.position antialiased, timm's way."
        )
    backbone._pos_embed = types.MethodType(_with_positions, backbone)


def _with_positions(vit: nn.Module, patches: Tensor) -> Tensor:
    """(N, H, W, d) patches -> tokens (N, 1 + H W, d), class token first, positions added."""
    images, height, width, dims = patches.shape
    of_class, of_patches = vit.pos_embed[0].split([1, vit.pos_embed.shape[1] - 1])
    of_patches = resample(of_patches.view(*vit.patch_embed.grid_size, dims), height, width)
    positions = torch.cat([of_class, of_patches.reshape(-1, dims)])
    tokens = torch.cat([vit.cls_token.expand(images, -1, -1), patches.flatten(1, 2)], dim=1)
    return vit.pos_drop(tokens + positions)
