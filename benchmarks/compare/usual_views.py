"""The usual way to make views: torchvision's transforms on Pillow images in DataLoader workers.

As the DINO reference does it: one image, one view, one operation at a time; its own Gaussian blur,
which is Pillow's, since torchvision's is slower still.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from ssl_ood.methods.dino.settings import DinoViews
from ssl_ood.views.spec import ViewSpec

QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


class GaussianBlur:
    """The reference's: Pillow's blur with a random radius, with probability p."""

    def __init__(self, p: float, sigma: tuple[float, float]) -> None:
        self.p, self.sigma = p, sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        if random.random() > self.p:
            return image
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def turned(image: Image.Image) -> Image.Image:
    """The image by 90, 180 or 270 degrees."""
    return image.transpose(random.choice(QUARTERS))


def transform(spec: ViewSpec, turn: bool) -> Callable[[Image.Image], Tensor]:
    """The pipeline of one kind of view, or of two by a coin; turn: whether it rotates views."""
    if spec.other is not None:
        kinds = replace(spec, other=None), spec.other
        return transforms.RandomChoice([transform(kind, turn) for kind in kinds])
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                spec.size, spec.scale, interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(spec.flip_p),
            *([turned] if turn else []),
            transforms.RandomApply([transforms.ColorJitter(*spec.jitter)], spec.jitter_p),
            transforms.RandomGrayscale(spec.grey_p),
            GaussianBlur(spec.blur_p, spec.blur_sigma),
            transforms.RandomSolarize(128, spec.solarize_p),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )


class Views(Dataset):
    """All views of image i and of its negative, a rotated image of another set.

    Lists of (3, S, S): positive global, positive local, negative global, negative local views.
    """

    def __init__(self, positives: np.ndarray, negatives: np.ndarray, views: DinoViews) -> None:
        self.positives, self.negatives = positives, negatives
        self.every_view = views.shift_place == "view"
        self.pipelines = {
            kind: [
                transform(spec, self.every_view and kind == "negative")
                for specs in views.pipelines(kind)
                for spec in specs
            ]
            for kind in ("positive", "negative")
        }

    def __len__(self) -> int:
        return len(self.positives)

    def __getitem__(self, i: int) -> tuple[list[Tensor], list[Tensor]]:
        positive = Image.fromarray(self.positives[i])
        negative = Image.fromarray(self.negatives[random.randrange(len(self.negatives))])
        if not self.every_view:
            negative = turned(negative)
        return (
            [make(positive) for make in self.pipelines["positive"]],
            [make(negative) for make in self.pipelines["negative"]],
        )


def batches(
    views: Views, batch: int, workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches without end: (positive views, negative views) on the device, from running workers."""
    sampler = RandomSampler(views, replacement=True, num_samples=1 << 40)
    loader = DataLoader(
        views, batch, sampler=sampler, num_workers=workers, drop_last=True,
        pin_memory=device.type == "cuda",
    )  # fmt: skip
    for positive, negative in loader:
        yield tuple(
            [view.to(device, non_blocking=True) for view in kind] for kind in (positive, negative)
        )
