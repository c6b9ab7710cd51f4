"""torchvision's second transforms on whole batches: fast, since a batch shares every draw."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from compare.opponents import specs_of
from ssl_ood.views.colours import blur_radius
from ssl_ood.views.spec import ViewSpec


def batches(
    preset, arrays: list[np.ndarray], workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of views, made in this process."""
    sources = [torch.from_numpy(a).permute(0, 3, 1, 2).contiguous().to(device) for a in arrays]
    pipelines = [
        [transform(spec, kind == "negative") for spec in specs_of(preset, kind)]
        for kind in ("positive", "negative")
    ]
    while True:
        rows = torch.randint(len(sources[0]), (preset.batch,), device=device)
        yield tuple(
            [make(images[rows]) for make in pipeline]
            for images, pipeline in zip(sources, pipelines, strict=True)
        )


def turned(images: Tensor) -> Tensor:
    """The images by 90, 180 or 270 degrees, all by the same."""
    return torch.rot90(images, random.randrange(1, 4), (2, 3))


def transform(spec: ViewSpec, turn: bool) -> Callable[[Tensor], Tensor]:
    """The pipeline of one kind of view, or of two by a coin."""
    if spec.other is not None:
        kinds = replace(spec, other=None), spec.other
        return v2.RandomChoice([transform(kind, turn) for kind in kinds])
    reach = 2 * blur_radius(spec.blur_sigma[1]) + 1
    return v2.Compose(
        [
            v2.RandomResizedCrop(
                spec.size, spec.scale, interpolation=InterpolationMode.BICUBIC, antialias=True
            ),
            v2.RandomHorizontalFlip(spec.flip_p),
            *([v2.Lambda(turned)] if turn else []),
            v2.RandomApply([v2.ColorJitter(*spec.jitter)], spec.jitter_p),
            v2.RandomGrayscale(spec.grey_p),
            v2.RandomApply([v2.GaussianBlur(reach, spec.blur_sigma)], spec.blur_p),
            v2.RandomSolarize(128, spec.solarize_p),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
        ]
    )
