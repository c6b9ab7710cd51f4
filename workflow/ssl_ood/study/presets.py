"""What a study of own images is trained with: resources/presets.yaml, by a look at the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from ssl_ood.common.files import parse_yaml
from ssl_ood.common.settings import Count, Many, Pair, Positive, Settings, Share, read_settings
from ssl_ood.datasets.scan import Scan
from ssl_ood.study.layers import merge
from ssl_ood.study.paths import CLONE

FILE = CLONE / "resources" / "presets.yaml"
SMALLEST_BATCH, STEPS = 8, 8  # images; steps of an epoch, at least
Sections = dict[str, dict[str, Any]]


class Preset(Settings):
    """Settings for one kind of machine."""

    largest: Count = Field(description="pixels of a side, at most")
    presentations: Count = Field(description="images shown by a training, in all its epochs")
    epochs: Pair[Count] = Field(description="fewest and most")
    batch_size: Count = Field(description="images of a step, halved for few images")
    warmup_share: Share = Field(description="of the epochs")
    local_share: Positive | None = Field(None, description="of a global view's side")
    patch_share: Positive | None = Field(None, description="of a global view's side")
    std_factor: Positive = Field(description="of the images' standard deviation")
    sections: Sections = Field(description="of the method")


class Presets(Settings):
    """The whole file."""

    method: str = Field(description="of every study of own images")
    small: Preset
    full: Preset
    kinds: dict[Literal["colour", "grey", "medical"], Sections]
    sizes: Annotated[Many[Count], Field(min_length=1)]


@dataclass(frozen=True)
class Chosen:
    """size: pixels; fit: crop or squash; kind: of the images; settings: of the method."""

    preset: str
    size: int
    fit: str
    kind: str
    settings: Sections


@cache
def presets() -> Presets:
    """The content of the file. Raises UserError for a value that means nothing."""
    return read_settings(Presets, parse_yaml(FILE.read_text(encoding="utf-8")), f"{FILE.name}:")


def choose(
    scan: Scan,
    preset: str,
    size: int | None,
    fit: str | None,
    train_images: int,
    asked: Mapping[str, Any] = MappingProxyType({}),
) -> Chosen:
    """What fits these images; size and fit: the study's own, where it names them.

    train_images: how many of them are trained on. asked: of the study's `override.training`, whose
    epochs the warm-up is a share of; an override goes before what this returns.
    """
    chosen, kind = getattr(presets(), preset), kind_of(scan)
    if size is None:
        fitting = [s for s in presets().sizes if s <= min(scan.side, chosen.largest)]
        size = max(fitting, default=min(presets().sizes))
    if fit is None:
        fit = "crop" if scan.square else "squash"
    settings = merge(
        chosen.sections,
        {"training": _training(chosen, train_images, asked), "views": _views(chosen, scan, size)},
        presets().kinds[kind],
    )
    if chosen.patch_share is not None:
        settings = merge(settings, {"backbone": {"patch_size": round(size * chosen.patch_share)}})
    return Chosen(preset, size, fit, kind, settings)


def kind_of(scan: Scan) -> str:
    """medical where all are DICOM, else grey or colour."""
    if scan.grey and scan.dicom:
        return "medical"
    return "grey" if scan.grey else "colour"


def _training(preset: Preset, images: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    fewest, most = preset.epochs
    epochs = min(max(round(preset.presentations / max(images, 1)), fewest), most)
    if isinstance(asked.get("epochs"), int):
        epochs = asked["epochs"]
    batch = preset.batch_size
    while batch > SMALLEST_BATCH and batch * STEPS > images:
        batch //= 2
    warmup = min(max(round(preset.warmup_share * epochs), 1), max(epochs - 1, 0))
    return {"epochs": epochs, "batch_size": batch, "warmup_epochs": warmup}


def _views(preset: Preset, scan: Scan, size: int) -> dict[str, Any]:
    views: dict[str, Any] = {
        "mean": list(scan.mean),
        "std": [round(preset.std_factor * value, 3) for value in scan.std],
    }
    if preset.local_share is not None:
        views |= {"global_size": size, "local_size": round(size * preset.local_share)}
    return views
