"""albumentations: OpenCV, an image at a time, in DataLoader workers."""

from __future__ import annotations

import random
from collections.abc import Iterator

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from torch import Tensor
from torch.utils.data import Dataset

from compare import usual_views
from compare.opponents import specs_of, without_coin
from ssl_ood.views.colours import blur_radius
from ssl_ood.views.spec import ViewSpec

cv2.setNumThreads(0)  # workers are enough, as its guide says


class Views(Dataset):
    """All views of image i and of its negative, as lists of (3, S, S)."""

    def __init__(self, preset, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        self.pipelines = [
            [transform(without_coin(spec), kind == "negative") for spec in specs_of(preset, kind)]
            for kind in ("positive", "negative")
        ]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, i: int) -> tuple[list[Tensor], list[Tensor]]:
        chosen = self.arrays[0][i], self.arrays[1][random.randrange(len(self.arrays[1]))]
        return tuple(
            [make(image=image)["image"] for make in pipeline]
            for image, pipeline in zip(chosen, self.pipelines, strict=True)
        )


def batches(
    preset, arrays: list[np.ndarray], workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of views from running workers."""
    return usual_views.batches(Views(preset, arrays), preset.batch, workers, device)


def turned(image: np.ndarray, **_) -> np.ndarray:
    """The image by 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, random.randrange(1, 4)))


def transform(spec: ViewSpec, turn: bool) -> A.Compose:
    """The pipeline of one kind of view."""
    reach = 2 * blur_radius(spec.blur_sigma[1]) + 1
    size = (spec.size, spec.size)
    return A.Compose(
        [
            A.RandomResizedCrop(size, spec.scale, interpolation=cv2.INTER_CUBIC),
            A.HorizontalFlip(p=spec.flip_p),
            *([A.Lambda(image=turned, p=1.0)] if turn else []),
            A.ColorJitter(*spec.jitter, p=spec.jitter_p),
            A.ToGray(p=spec.grey_p),
            A.GaussianBlur(blur_limit=(reach, reach), sigma_limit=spec.blur_sigma, p=spec.blur_p),
            A.Solarize(threshold_range=(0.5, 0.5), p=spec.solarize_p),
            A.Normalize(spec.mean, spec.std),
            ToTensorV2(),
        ]
    )
