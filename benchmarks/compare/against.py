"""Ours against other libraries: views alone, and with a training step, in turn as all is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from compare.opponents import INSTALL, OPPONENTS, Opponent
from compare.ours import Ours, made_up_images
from compare.presets import Preset
from compare.timing import CLOCKS, Comparison, compare, say, timed
from compare.usual import Usual
from compare.usual_step import UsualStep

STEPS = (
    4  # batches of a repetition by the processor's clock: workers are always in the midst of one
)


def measure(
    preset: Preset,
    names: list[str],
    workers: int,
    repeats: int,
    device: torch.device,
    clock: str = CLOCKS[0],
    *,
    steps: bool = True,
) -> tuple[list[Comparison], dict[str, str]]:
    """The comparisons with those opponents that are installed, and the version of each opponent or
    how to install it. steps: whether a training step on the views is measured, too."""
    if clock == "processor":
        preset = replace(preset, steps=max(preset.steps, STEPS))
    arrays = [made_up_images(preset.images, preset.config["size"], seed) for seed in (0, 1)]
    found: list[Comparison] = []
    states: dict[str, str] = {}
    for opponent in OPPONENTS:
        if opponent.name not in names:
            continue
        if opponent.version is None:
            states[opponent.name] = f"not installed: {INSTALL}"
            continue
        states[opponent.name] = opponent.version
        found += _against(opponent, preset, arrays, workers, repeats, device, steps)
    return found, states


def _against(
    opponent: Opponent,
    preset: Preset,
    arrays: list,
    workers: int,
    repeats: int,
    device: torch.device,
    steps: bool,
) -> list[Comparison]:
    say(f"building {opponent.name}")
    module, ours = opponent.load(), Ours(preset, arrays, device)
    theirs = Usual(
        preset, arrays, workers, device, partial(module.batches, preset, arrays, workers, device),
        ahead=opponent.ahead, make_step=getattr(module, "make_step", UsualStep),
    )  # fmt: skip
    images = (preset.batch * preset.steps,) * 2
    note = f"{opponent.name} {opponent.version}: {opponent.note}"
    sides = {"views": (timed(ours.make_views, device), theirs.make_views)}
    if steps:
        sides["views and step"] = timed(ours.train, device), theirs.train
    return [
        compare(f"{part}: {opponent.name}", "images", images, *pair, repeats, note)
        for part, pair in sides.items()
    ]
