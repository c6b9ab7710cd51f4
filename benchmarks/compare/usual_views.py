"""The usual way to make views: torchvision's transforms on Pillow images in DataLoader workers.

As the DINO reference does it: one image, one view, one operation at a time; its own Gaussian blur,
which is Pillow's, since torchvision's is slower still.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from ssl_ood.views.colours import BLUR_SIGMA
from ssl_ood.views.render import ViewSpec

QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


class GaussianBlur:
    """The reference's: Pillow's blur with a random radius, with probability p."""

    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        if random.random() > self.p:
            return image
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(*BLUR_SIGMA)))


def transform(spec: ViewSpec) -> transforms.Compose:
    """The pipeline of one kind of view."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(
                spec.size, spec.scale, interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(spec.flip_p),
            transforms.RandomApply([transforms.ColorJitter(*spec.jitter)], spec.jitter_p),
            transforms.RandomGrayscale(spec.grey_p),
            GaussianBlur(spec.blur_p),
            transforms.RandomSolarize(128, spec.solarize_p),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )


class Views(Dataset):
    """All views of image i and of its negative, a rotated image of another set.

    Lists of (3, S, S): positive global, positive local, negative global, negative local views.
    """

    def __init__(
        self, positives: np.ndarray, negatives: np.ndarray, specs: dict[str, ViewSpec], views: dict
    ) -> None:
        self.positives, self.negatives = positives, negatives
        pipelines = {name: transform(spec) for name, spec in specs.items()}
        self.pipelines = {
            kind: [pipelines[f"global_{1 + i % 2}"] for i in range(views[kind][0])]
            + [pipelines["local"]] * views[kind][1]
            for kind in ("positive", "negative")
        }

    def __len__(self) -> int:
        return len(self.positives)

    def __getitem__(self, i: int) -> tuple[list[Tensor], list[Tensor]]:
        positive = Image.fromarray(self.positives[i])
        negative = Image.fromarray(self.negatives[random.randrange(len(self.negatives))])
        negative = negative.transpose(random.choice(QUARTERS))
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
