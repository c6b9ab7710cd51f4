"""kornia's augmentations: batches, with parameters of its own for every image."""

from __future__ import annotations

from collections.abc import Iterator

import kornia.augmentation as K
import numpy as np
import torch
from torch import Tensor, nn

from compare.opponents import specs_of, without_coin
from ssl_ood.views.colours import blur_radius
from ssl_ood.views.spec import ViewSpec


def batches(
    preset, arrays: list[np.ndarray], workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of views, made in this process."""
    sources = [torch.from_numpy(a).permute(0, 3, 1, 2).contiguous().to(device) for a in arrays]
    pipelines = [
        [transform(without_coin(spec), kind == "negative") for spec in specs_of(preset, kind)]
        for kind in ("positive", "negative")
    ]
    while True:
        rows = torch.randint(len(sources[0]), (preset.batch,), device=device)
        chosen = [images[rows].to(torch.float32).div_(255) for images in sources]
        with torch.no_grad():  # not around the yield: the training step needs its gradients
            made = tuple(
                [make(images) for make in pipeline]
                for images, pipeline in zip(chosen, pipelines, strict=True)
            )
        yield made


def transform(spec: ViewSpec, turn: bool) -> nn.Module:
    """The pipeline of one kind of view."""
    reach = 2 * blur_radius(spec.blur_sigma[1]) + 1
    size = (spec.size, spec.size)
    return nn.Sequential(
        K.RandomResizedCrop(size, spec.scale, resample="BICUBIC", cropping_mode="resample"),
        K.RandomHorizontalFlip(p=spec.flip_p),
        *([K.RandomRotation90((1, 3), resample="NEAREST", p=1.0)] if turn else []),
        K.ColorJitter(*spec.jitter, p=spec.jitter_p),
        K.RandomGrayscale(p=spec.grey_p),
        K.RandomGaussianBlur((reach, reach), spec.blur_sigma, p=spec.blur_p),
        K.RandomSolarize(thresholds=(0.5, 0.5), additions=(0.0, 0.0), p=spec.solarize_p),
        K.Normalize(spec.mean, spec.std),
    )
