"""Opponents of the benchmark: what others would take to make the same views, or to train on them.

A module each, with `batches(preset, arrays, workers, device)`, an iterator without end over
(positive views, negative views), lists of (B, 3, S, S) float32, the sizes, numbers, strengths and
probabilities of `preset`; and, where the library has a step of its own, `make_step`. A view that is
one of two kinds by a coin is drawn with the mean of their probabilities where a library has no
coin. What a library does otherwise than we do is said in its note, and not held against it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module, metadata
from types import ModuleType

from ssl_ood.views.spec import ViewSpec

INSTALL = (
    "uv venv opponents && uv pip install --python opponents --require-hashes "
    "-r envs/requirements.txt -r envs/opponents.txt"
)


@dataclass(frozen=True)
class Opponent:
    """module: here; package: that it needs; ahead: whether processes or threads of its own prepare
    the batches to come; note: how it makes views."""

    name: str
    module: str
    package: str
    ahead: bool
    note: str

    @property
    def version(self) -> str | None:
        """Of the installed package; None where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    def load(self) -> ModuleType:
        """Its module."""
        return import_module(f"compare.opponents.{self.module}")


OPPONENTS = (
    Opponent(
        "torchvision v2", "torchvision_v2", "torchvision", False,
        "a batch at a time: all images of a batch share one draw",
    ),
    Opponent(
        "kornia", "on_kornia", "kornia", False, "a batch at a time, a draw for every image",
    ),
    Opponent(
        "albumentations", "on_albumentations", "albumentations", True,
        "an image at a time with OpenCV, in DataLoader workers",
    ),
    Opponent(
        "lightly", "on_lightly", "lightly", True,
        "its DINO transform in DataLoader workers, its loss and its step",
    ),
    Opponent(
        "DALI", "on_dali", "nvidia-dali-cuda130", True,
        "its pipeline on the processor, a draw for every image",
    ),
)  # fmt: skip


def specs_of(preset, kind: str) -> list[ViewSpec]:
    """Of every view of an image of this kind, the global ones first."""
    return [spec for specs in preset.settings.options.views.pipelines(kind) for spec in specs]


def without_coin(spec: ViewSpec) -> ViewSpec:
    """The same share of views blurred, solarised and so on, without two kinds."""
    if spec.other is None:
        return spec
    names = ("flip_p", "jitter_p", "grey_p", "blur_p", "solarize_p")
    means = {n: (getattr(spec, n) + getattr(spec.other, n)) / 2 for n in names}
    return replace(spec, other=None, **means)
