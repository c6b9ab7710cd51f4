"""Views alone, steps alone and both together, ours against the usual way."""

from __future__ import annotations

import torch

from compare import flops
from compare.hardware import matmul_peak, peak_memory
from compare.ours import Ours, made_up_images
from compare.presets import Preset
from compare.timing import Comparison, compare, say, spread, timed
from compare.usual import Usual


def measure(
    preset: Preset,
    workers: int,
    repeats: int,
    device: torch.device,
    compile_mode: str | None = None,
) -> tuple[list[Comparison], dict]:
    """The comparisons, and what the step reaches of the device's measured peak and memory.

    compile_mode: of torch.compile for our networks, if they are to be compiled.
    """
    size = preset.config["size"]
    arrays = [made_up_images(preset.images, size, seed) for seed in (0, 1)]
    say("peak of the device")
    peak = matmul_peak(device, preset.matrix, repeats)
    say("building both trainings")
    ours = Ours(preset, arrays, device)
    if compile_mode:
        ours.run.method.compile(mode=compile_mode)
    usual = Usual(preset, arrays, workers, device)
    images = preset.batch * preset.steps
    views = {kind: preset.config["views"][kind] for kind in ("positive", "negative")}
    note = "views of an image and its negative: {positive} and {negative}".format(**views)
    sides = {
        "views": (timed(ours.make_views, device), usual.make_views),
        "step": (timed(ours.steps, device), timed(usual.steps, device)),
        "views and step": (timed(ours.train, device), usual.train),
    }
    found = [
        compare(part, "images", (images, images), *pair, repeats, note)
        for part, pair in sides.items()
    ]
    say("peak of the device, again")
    peak += matmul_peak(device, preset.matrix, repeats)
    say("memory")
    memory = {"ours": peak_memory(ours.train, device), "usual": peak_memory(usual.train, device)}
    say("")
    per_image = flops.training_step(preset.config)
    step = {c.part: c for c in found}["step"]
    reached = {
        "model_flops_per_image": per_image,
        "matmul_flops": vars(spread(peak)),  # the peak is the highest: nothing came between
        "share_of_peak": {
            side: per_image * speed.median / max(peak) for side, speed in step.speed.items()
        },
        "peak_memory_bytes": memory,
    }
    return found, reached
