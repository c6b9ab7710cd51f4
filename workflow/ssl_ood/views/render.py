"""Augmented views of a batch, made on the training device from uint8 images.

The pipeline and the order of its steps are DINO's: random resized crop (antialiased),
horizontal flip, colour jitter, grey, Gaussian blur, solarise, normalise. Negatives are shifted
after the crop or before they are normalised (`moves`). Every image has parameters of its own, drawn
on the host with NumPy (`draw`), so the draws do not depend on the device; all pixels are made in
batches on the device (`render`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ssl_ood.views.colours import (
    blur_radius,
    brightness,
    contrast,
    gaussian_blur,
    grey_image,
    hue,
    saturation,
    solarize,
)
from ssl_ood.views.moves import moves_of, place_of
from ssl_ood.views.resampling import channels_second, crop_and_resize
from ssl_ood.views.spec import ViewSpec
from ssl_ood.views.transfer import to_device
from ssl_ood.views.warps import affine

ASPECT_RATIO = (3 / 4, 4 / 3)  # of the crop, log-uniform, as in torchvision's RandomResizedCrop
CROP_TRIES = 10
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclass(frozen=True)
class ViewParameters:
    """The random choices for N views of one kind, host arrays with N rows.

    box: (N, 4) integer top, left, height, width; factor: (N, 4) of brightness, contrast,
    saturation (multipliers) and hue (a shift in turns); order: (N, 4) the order of the four;
    sigma: (N,) pixels; warp: (N, 4) degrees, pixels to the right and down, zoom; moved: (N, k) what
    the shifting transformation drew, k = 0 without one. The other fields are booleans.
    """

    box: np.ndarray
    flip: np.ndarray
    jitter: np.ndarray
    factor: np.ndarray
    order: np.ndarray
    grey: np.ndarray
    blur: np.ndarray
    sigma: np.ndarray
    solarize: np.ndarray
    warp: np.ndarray
    moved: np.ndarray

    def rows(self, part: slice | np.ndarray) -> ViewParameters:
        """The parameters of the images in `part`."""
        return ViewParameters(**{name: values[part] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, views: Sequence[ViewParameters]) -> ViewParameters:
        """The parameters of several views of the same images, one after the other."""
        columns = {name: [vars(view)[name] for view in views] for name in vars(views[0])}
        return cls(**{name: np.concatenate(values) for name, values in columns.items()})


def draw(
    spec: ViewSpec,
    count: int,
    height: int,
    width: int,
    rng: np.random.Generator,
    aside: np.random.Generator | None = None,
) -> ViewParameters:
    """Draws the parameters of `count` views of images of (height, width) pixels.

    aside: the generator of the coin and of the shift, where all else is to be drawn as it is
    without them; without one they come from `rng` too.
    """
    aside = rng if aside is None else aside
    coin = aside.random(count) < 0.5 if spec.other is not None else np.zeros(count, bool)

    def happens(chance: str) -> np.ndarray:
        p = np.where(coin, getattr(spec.other or spec, chance), getattr(spec, chance))
        return rng.random(count) < p

    strengths = np.asarray(spec.jitter)
    low = np.array([*np.maximum(0, 1 - strengths[:3]), -strengths[HUE]])
    high = np.array([*(1 + strengths[:3]), strengths[HUE]])
    if spec.scale is None:
        box = np.tile(_middle_part(height, width, spec.crop), (count, 1))
    else:
        box = _draw_boxes(spec.scale, count, height, width, rng)
    return ViewParameters(
        box=box,
        flip=happens("flip_p"),
        jitter=happens("jitter_p"),
        factor=low + (high - low) * rng.random((count, 4)),
        order=rng.random((count, 4)).argsort(axis=1),
        grey=happens("grey_p"),
        blur=happens("blur_p"),
        sigma=rng.uniform(*spec.blur_sigma, count),
        solarize=happens("solarize_p"),
        warp=_draw_warps(spec, count, rng),
        moved=_draw_moves(spec, count, aside),
    )


def _draw_moves(spec: ViewSpec, count: int, rng: np.random.Generator) -> np.ndarray:
    if spec.shifting is None:
        return np.empty((count, 0))
    return moves_of(spec.shifting).draw(count, rng, spec.may_stay)


def _draw_warps(spec: ViewSpec, count: int, rng: np.random.Generator) -> np.ndarray:
    """Angles, shifts in whole pixels and zooms, uniform, as torchvision's RandomAffine has them."""
    warp = np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))
    if spec.warps:
        warp[:, 0] = rng.uniform(-spec.rotation, spec.rotation, count)
        reach = spec.shift * spec.size
        warp[:, 1:3] = np.rint(rng.uniform(-reach, reach, (count, 2)))
        warp[:, 3] = rng.uniform(*spec.zoom, count)
    return warp


def _middle_part(height: int, width: int, share: float) -> tuple[int, int, int, int]:
    """Box of `share` of both sides in the middle."""
    box_h, box_w = round(height * share), round(width * share)
    return (height - box_h) // 2, (width - box_w) // 2, box_h, box_w


def _draw_boxes(scale, count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Boxes of torchvision's RandomResizedCrop: the first of ten tries that fits, or the middle."""
    area = height * width * rng.uniform(*scale, (count, CROP_TRIES))
    ratio = np.exp(rng.uniform(*np.log(ASPECT_RATIO), (count, CROP_TRIES)))
    box_w, box_h = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (box_w > 0) & (box_w <= width) & (box_h > 0) & (box_h <= height)
    first = fits.argmax(axis=1)
    row = np.arange(count)
    box_h, box_w = box_h[row, first], box_w[row, first]
    top = np.floor(rng.random(count) * (height - box_h + 1))
    left = np.floor(rng.random(count) * (width - box_w + 1))
    boxes = np.stack([top, left, box_h, box_w], axis=1).astype(np.int64)
    boxes[~fits.any(axis=1)] = _middle_box(height, width)
    return boxes


def _middle_box(height: int, width: int) -> tuple[int, int, int, int]:
    """The largest middle crop within the allowed aspect ratios."""
    low, high = ASPECT_RATIO
    if width / height < low:
        box_h, box_w = round(width / low), width
    elif width / height > high:
        box_h, box_w = height, round(height * high)
    else:
        box_h, box_w = height, width
    return (height - box_h) // 2, (width - box_w) // 2, box_h, box_w


def render(images: Tensor, parameters: ViewParameters, spec: ViewSpec) -> Tensor:
    """Views of `images` with `parameters`, all in one pass.

    images: (N, H, W, 3) uint8 on any device. parameters: of V * N views, view v of image i in row
    v * N + i. Returns (V * N, 3, size, size) float32 on the device, normalised.
    """
    chosen = _Chosen(parameters, images.device)
    pixels = crop_and_resize(images, chosen.numbers[:, :FACTOR], spec.size, spec.interpolation)
    if spec.warps and not spec.warp_last:
        pixels = chosen.warp(pixels)
    place = place_of(spec.shifting)
    if place == "crop":
        pixels = _shifted(pixels, parameters, spec)
    if spec.jitter_p > 0:
        for position in range(4):
            for kind, operation in enumerate((brightness, contrast, saturation, hue)):
                chosen.apply(pixels, (position, kind), operation, FACTOR + kind)
    chosen.apply(pixels, "grey", grey_image)
    blur = partial(gaussian_blur, radius=blur_radius(spec.blur_sigma[1]))
    chosen.apply(pixels, "blur", blur, SIGMA)
    chosen.apply(pixels, "solarize", solarize)
    if spec.warps and spec.warp_last:
        pixels = chosen.warp(pixels)
    if place == "colours":
        pixels = _shifted(pixels, parameters, spec)
    return normalize(channels_second(pixels), spec.mean, spec.std)


def _shifted(pixels: Tensor, parameters: ViewParameters, spec: ViewSpec) -> Tensor:
    """Pixels (V * N, S, 3, S), every view by what was drawn for it."""
    moved = moves_of(spec.shifting).make(channels_second(pixels), parameters.moved)
    return channels_second(moved).contiguous()


FACTOR, SIGMA, WARP = 5, 9, 10  # first columns of `numbers`; box and flip come before


class _Chosen:
    """The parameters on the device: the numbers (V * N, 14), and the rows of every operation.

    Two transfers, without a synchronisation, bring all that `render` needs: which rows an operation
    takes is known to the host.
    """

    def __init__(self, parameters: ViewParameters, device: torch.device) -> None:
        self.count = len(parameters.flip)
        numbers = np.column_stack(
            [
                parameters.box,
                parameters.flip,
                parameters.factor,
                parameters.sigma,
                parameters.warp,
            ]
        )
        rows: dict[str | tuple[int, int], np.ndarray] = {
            name: np.flatnonzero(getattr(parameters, name)) for name in ("grey", "blur", "solarize")
        }
        for position in range(4):
            for kind in range(4):
                here = parameters.jitter & (parameters.order[:, position] == kind)
                rows[position, kind] = np.flatnonzero(here)
        self.numbers = to_device(numbers.astype(np.float32), device)
        every = to_device(np.concatenate(list(rows.values())), device)
        parts = every.split([len(r) for r in rows.values()])
        self.rows = dict(zip(rows, parts, strict=True))

    def apply(self, pixels: Tensor, name, operation, argument: int | None = None) -> None:
        """Replaces the chosen rows of pixels (V * N, S, 3, S) by the operation's result."""
        rows = self.rows[name]
        if len(rows) == 0:
            return
        everything = len(rows) == self.count
        part = channels_second(pixels if everything else pixels.index_select(0, rows))
        arguments = []
        if argument is not None:
            column = self.numbers[:, argument]
            arguments = [column if everything else column.index_select(0, rows)]
        result = channels_second(operation(part, *arguments))
        if everything:
            pixels.copy_(result)
        elif pixels.device.type == "cpu":
            # NumPy copies whole rows, in a third of the time that index_copy_ takes.
            pixels.numpy()[rows.numpy()] = result.numpy()
        else:
            pixels.index_copy_(0, rows, result)

    def warp(self, pixels: Tensor) -> Tensor:
        """Turned, shifted and zoomed pixels (V * N, S, 3, S)."""
        angle, right, down, zoom = self.numbers[:, WARP:].unbind(1)
        warped = affine(channels_second(pixels), angle, torch.stack([right, down], 1), zoom)
        return channels_second(warped).contiguous()


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels - mean) / std by channel, a new contiguous tensor; pixels (N, 3, H, W) in 0..1."""
    out = torch.empty(pixels.shape, dtype=pixels.dtype, device=pixels.device)
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        torch.sub(pixels[:, channel], m, out=out[:, channel])
        out[:, channel].div_(s)
    return out


def resize_plain(
    images: Tensor, size: int, mean, std, crop: float = 1.0, interpolation: str = "bicubic"
) -> Tensor:
    """Whole images at `size` without augmentation, normalised: what features are extracted from.

    images: (N, H, W, 3) uint8; crop: share of both sides, in the middle, that is shown. Returns
    (N, 3, size, size) float32.
    """
    count, height, width, _ = images.shape
    part = _middle_part(height, width, crop)
    if part == (0, 0, size, size) and (height, width) == (size, size):
        pixels = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    else:
        box = to_device(np.array([*part, 0], np.float32), images.device).expand(count, 5)
        pixels = channels_second(crop_and_resize(images, box, size, interpolation))
    return normalize(pixels, mean, std)
