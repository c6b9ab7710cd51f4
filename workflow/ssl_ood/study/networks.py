"""The networks of runs, built on torch's meta device: their sizes, exactly, without any memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.methods.settings import RunSettings
from ssl_ood.study.runs import Run

_SIZES: dict[str, Size] = {}


@dataclass(frozen=True)
class Size:
    """Weights of a network and of its backbone, and the length of its features (0: unknown)."""

    parameters: int
    backbone: int
    features: int


def identity(settings: RunSettings) -> str:
    """The same for runs that have the same network."""
    plain = settings.to_dict()
    parts = {key: plain.get(key) for key in ("method", "backbone", "head")}
    return json.dumps(parts | {"views": settings.options.sizes()}, sort_keys=True)


def size_of(settings: RunSettings) -> Size:
    """The size of a run's network; it is built once, whatever runs have it. Imports torch.

    Raises UserError for a network that cannot be built.
    """
    key = identity(settings)
    if key not in _SIZES:
        _SIZES[key] = _build(settings)
    return _SIZES[key]


def _build(settings: RunSettings) -> Size:
    import torch

    from ssl_ood.methods.backbones import feature_width
    from ssl_ood.methods.base import method_of

    with torch.device("meta"):
        network = method_of(settings).build(settings.options).eval()
    backbone = getattr(network, "backbone", network)
    if width := feature_width(backbone):
        for key, side in settings.options.sizes().items():
            _check_features(backbone, settings, key, side, width)
    return Size(
        parameters=sum(p.numel() for p in network.parameters()),
        backbone=sum(p.numel() for p in backbone.parameters()),
        features=width,
    )


def _check_features(backbone: Any, settings: RunSettings, key: str, side: int, width: int) -> None:
    """Raises UserError where a view of `side` pixels does not become `width` pooled features."""
    import torch

    name = settings.backbone.name
    try:
        with torch.no_grad():
            shape = tuple(backbone(torch.empty(1, 3, side, side, device="meta")).shape)
    except (RuntimeError, ValueError, AssertionError, AttributeError) as error:
        why = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(f"{name} cannot take images of {key} {side} pixels: {why}.") from None
    if shape != (1, width):
        raise UserError(
            f"{name} gives no pooled features: for an image of {key} {side} pixels their shape is "
            f"{shape[1:]}, where ({width},) belongs. Name another backbone."
        )


def distinct(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs by the network that they have."""
    by_network: dict[str, list[Run]] = {}
    for run in runs:
        by_network.setdefault(identity(run.settings), []).append(run)
    return by_network


def check_networks(runs: Iterable[Run]) -> list[tuple[Size, list[Run]]]:
    """Builds each distinct network once: its size, and the runs that have it.

    Raises UserError for one that cannot be built, with the place of its backbone in the config.
    """
    sizes = []
    for same in distinct(runs).values():
        try:
            sizes.append((size_of(same[0].settings), same))
        except UserError as error:
            place = same[0].place_of("backbone.name").removesuffix(".name")
            raise UserError(f"config: {place}: {error}") from None
    return sizes
