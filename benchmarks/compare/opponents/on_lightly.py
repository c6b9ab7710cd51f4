"""lightly's DINO: its transform in DataLoader workers, its loss, its step as in its example.

Its DINO knows no negatives: their views are its own, rotated by 90 degrees, and their loss is the
one line that equation 4 asks for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from lightly.loss import DINOLoss
from lightly.models.utils import update_momentum
from lightly.transforms.dino_transform import DINOViewTransform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from compare import usual_views
from compare.opponents import specs_of
from ssl_ood.methods.updates import parameter_groups
from ssl_ood.views.spec import ViewSpec


class Views(Dataset):
    """All views of image i and of its negative, as lists of (3, S, S)."""

    def __init__(self, preset, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        self.pipelines = [
            [kinds_of(spec, kind == "negative") for spec in specs_of(preset, kind)]
            for kind in ("positive", "negative")
        ]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, i: int) -> tuple[list[Tensor], list[Tensor]]:
        chosen = self.arrays[0][i], self.arrays[1][random.randrange(len(self.arrays[1]))]
        return tuple(
            [random.choice(kinds)(Image.fromarray(image)) for kinds in pipeline]
            for image, pipeline in zip(chosen, self.pipelines, strict=True)
        )


def batches(
    preset, arrays: list[np.ndarray], workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of views from running workers."""
    return usual_views.batches(Views(preset, arrays), preset.batch, workers, device)


def kinds_of(spec: ViewSpec, turn: bool) -> list[DINOViewTransform]:
    """Its transform of one kind of view, or of the two of a coin."""
    kinds = [spec] if spec.other is None else [replace(spec, other=None), spec.other]
    return [
        DINOViewTransform(
            crop_size=kind.size, crop_scale=kind.scale, hf_prob=kind.flip_p,
            rr_prob=1.0 if turn else 0.0, cj_prob=kind.jitter_p, cj_strength=1.0,
            cj_bright=kind.jitter[0], cj_contrast=kind.jitter[1], cj_sat=kind.jitter[2],
            cj_hue=kind.jitter[3], random_gray_scale=kind.grey_p, gaussian_blur=kind.blur_p,
            sigmas=kind.blur_sigma, solarization_prob=kind.solarize_p,
            normalize={"mean": list(kind.mean), "std": list(kind.std)},
        )
        for kind in kinds
    ]  # fmt: skip


class Step:
    """The step of its example; a pass of the network for every view."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, config: dict, device: torch.device
    ) -> None:
        self.student, self.teacher = student.to(device), teacher.to(device)
        self.training = config["training"]
        temperature, out = self.training["teacher_temperature"][0], config["head"]["out"]
        self.criterion = DINOLoss(
            out, temperature, temperature, student_temp=self.training["student_temperature"],
            center_momentum=self.training["centre_momentum"],
        ).to(device)  # fmt: skip
        groups = [
            {key: value for key, value in group.items() if key != "decay"}
            for group in parameter_groups(student)
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4)

    def __call__(self, positive: list[Tensor], negative: list[Tensor], micro: int) -> float:
        """One step on views (V tensors of (B, 3, S, S)), the batch at once."""
        momentum = self.training["teacher_momentum"][0]
        update_momentum(self.student, self.teacher, momentum)
        whole = [view for view in positive if view.shape[-1] == positive[0].shape[-1]]
        with torch.no_grad():
            targets = [_through(self.teacher, view) for view in whole]
        outputs = [_through(self.student, view) for view in positive]
        loss = self.criterion(targets, outputs, epoch=0)
        pushed = torch.cat([_through(self.student, view) for view in negative])
        of_negatives = F.log_softmax(pushed / self.training["student_temperature"], -1).mean()
        loss = loss - self.training["lambda"] * of_negatives
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def _through(network: nn.Module, views: Tensor) -> Tensor:
    return network.head(network.features(views))


make_step = Step
