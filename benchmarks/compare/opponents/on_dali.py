"""NVIDIA DALI without a GPU: its pipeline on the processor, parameters of its own for every image.

Its contrast turns about half of the range, not about the image's mean, and its colour operations
come in one order; else the views are ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from torch import Tensor

from compare.opponents import specs_of, without_coin
from ssl_ood.views.colours import blur_radius
from ssl_ood.views.spec import ViewSpec

NORMAL = 255.0


def batches(
    preset, arrays: list[np.ndarray], workers: int, device: torch.device
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Batches of views from the threads of its pipeline."""
    kinds = [
        [without_coin(spec) for spec in specs_of(preset, kind)] for kind in ("positive", "negative")
    ]
    rng = np.random.default_rng(0)

    def images():
        return [array[rng.integers(0, len(array), preset.batch)] for array in arrays]

    @pipeline_def(
        batch_size=preset.batch, num_threads=workers, device_id=None, seed=0,
        enable_conditionals=True, prefetch_queue_depth=2,
    )  # fmt: skip
    def pipeline():
        whole, others = fn.external_source(source=images, num_outputs=2, layout="HWC")
        made = [view(whole, spec, False) for spec in kinds[0]]
        made += [view(others, spec, True) for spec in kinds[1]]
        return tuple(made)

    made = pipeline()
    made.build()
    count = len(kinds[0])
    while True:
        outputs = [torch.from_numpy(part.as_array()) for part in made.run()]
        yield [v.to(device) for v in outputs[:count]], [v.to(device) for v in outputs[count:]]


def view(image, spec: ViewSpec, turn: bool):
    """One kind of view in its graph."""
    pixels = fn.random_resized_crop(
        image, size=[spec.size, spec.size], random_area=list(spec.scale),
        interp_type=types.INTERP_CUBIC, antialias=True,
    )  # fmt: skip
    pixels = fn.flip(pixels, horizontal=_happens(spec.flip_p))
    if turn:
        quarters = fn.random.uniform(values=[90.0, 180.0, 270.0])
        pixels = fn.rotate(pixels, angle=quarters, interp_type=types.INTERP_NN, keep_size=True)
    bright, contrast, saturation, hue = spec.jitter
    if _happens(spec.jitter_p, bool):
        pixels = fn.color_twist(
            pixels,
            brightness=fn.random.uniform(range=[1 - bright, 1 + bright]),
            contrast=fn.random.uniform(range=[1 - contrast, 1 + contrast]),
            saturation=fn.random.uniform(range=[1 - saturation, 1 + saturation]),
            hue=fn.random.uniform(range=[-360 * hue, 360 * hue]),
        )
    if _happens(spec.grey_p, bool):
        pixels = fn.saturation(pixels, saturation=0.0)
    if _happens(spec.blur_p, bool):
        pixels = fn.gaussian_blur(
            pixels, sigma=fn.random.uniform(range=list(spec.blur_sigma)),
            window_size=2 * blur_radius(spec.blur_sigma[1]) + 1,
        )  # fmt: skip
    if _happens(spec.solarize_p, bool):
        above = fn.cast(pixels >= 128, dtype=types.UINT8)
        pixels = fn.cast(above * (255 - pixels) + (1 - above) * pixels, dtype=types.UINT8)
    return fn.crop_mirror_normalize(
        pixels, dtype=types.FLOAT, output_layout="CHW",
        mean=[NORMAL * m for m in spec.mean], std=[NORMAL * s for s in spec.std],
    )  # fmt: skip


def _happens(probability: float, kind: type = int):
    coin = fn.random.coin_flip(probability=probability)
    return fn.cast(coin, dtype=types.BOOL) if kind is bool else coin
