"""Augmented views of a batch, made on the training device from uint8 images.

The pipeline and the order of its steps are DINO's: random resized crop (bicubic, antialiased),
horizontal flip, colour jitter, grey, Gaussian blur, solarise, normalise. Every image has parameters
of its own, drawn on the host with NumPy (`draw`), so the draws do not depend on the device; all
pixels are made in batches on the device (`render`).

Crop, flip and resize are one step: two batched matrix products with the weights that Pillow's
antialiased bicubic filter would use, so that a view equals Pillow's up to its 8-bit rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_ood.warps import affine

ASPECT_RATIO = (3 / 4, 4 / 3)  # of the crop, log-uniform, as in torchvision's RandomResizedCrop
CROP_TRIES = 10
BLUR_SIGMA = (0.1, 2.0)  # pixels of the view, uniform, as in DINO
SOLARIZE_THRESHOLD = 128 / 255
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's convert("L")
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclass(frozen=True)
class ViewSpec:
    """What one kind of view looks like; probabilities and strengths as in torchvision.

    size: side of the view in pixels; scale: (min, max) share of the image's area in the crop;
    jitter: strengths of brightness, contrast, saturation, hue. Without a scale the view is the
    middle of the whole image, `crop` of its side. rotation: degrees at most, either way; shift:
    share of the side at most; zoom: (min, max). They come before the colours are changed, or after
    with `warp_last`.
    """

    size: int
    scale: tuple[float, float] | None
    flip_p: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_p: float = 0.8
    grey_p: float = 0.2
    blur_p: float = 0.5
    solarize_p: float = 0.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 1.0
    rotation: float = 0.0
    shift: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    warp_last: bool = False

    @property
    def warps(self) -> bool:
        """Whether views are turned, shifted or zoomed at all."""
        return bool(self.rotation or self.shift or self.zoom != (1.0, 1.0))


def crop_spec(views: dict) -> ViewSpec:
    """The one kind of view of the methods moco and finetune, from the config's section.

    With `scale` a random resized crop (table 2 of the paper of chapter 5), without it the middle of
    the image after its shorter side was resized to `resize` (table 5).
    """
    scale = tuple(views["scale"]) if "scale" in views else None
    return ViewSpec(
        views["size"],
        scale,
        flip_p=views["flip_p"],
        jitter=tuple(views["jitter"]),
        jitter_p=1.0,
        grey_p=0.0,
        blur_p=0.0,
        mean=tuple(views["mean"]),
        std=tuple(views["std"]),
        crop=middle_share(views),
        rotation=views["rotation"],
        shift=views.get("shift", 0.0),
        zoom=tuple(views.get("zoom", (1.0, 1.0))),
        warp_last=scale is None,
    )


def middle_share(views: dict) -> float:
    """Share of the side that a view of a whole image shows: all, or `size` of `resize` pixels."""
    return views["size"] / views.get("resize", views["size"])


@dataclass(frozen=True)
class ViewParameters:
    """The random choices for N views of one kind, host arrays with N rows.

    box: (N, 4) integer top, left, height, width; factor: (N, 4) of brightness, contrast,
    saturation (multipliers) and hue (a shift in turns); order: (N, 4) the order of the four;
    sigma: (N,) pixels; warp: (N, 4) degrees, pixels to the right and down, zoom. The other fields
    are booleans.
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

    def rows(self, part: slice | np.ndarray) -> ViewParameters:
        """The parameters of the images in `part`."""
        return ViewParameters(**{name: values[part] for name, values in vars(self).items()})


def draw(
    spec: ViewSpec, count: int, height: int, width: int, rng: np.random.Generator
) -> ViewParameters:
    """Draws the parameters of `count` views of images of (height, width) pixels."""
    strengths = np.asarray(spec.jitter)
    low = np.array([*np.maximum(0, 1 - strengths[:3]), -strengths[HUE]])
    high = np.array([*(1 + strengths[:3]), strengths[HUE]])
    if spec.scale is None:
        box = np.tile(_middle_part(height, width, spec.crop), (count, 1))
    else:
        box = _draw_boxes(spec.scale, count, height, width, rng)
    return ViewParameters(
        box=box,
        flip=rng.random(count) < spec.flip_p,
        jitter=rng.random(count) < spec.jitter_p,
        factor=low + (high - low) * rng.random((count, 4)),
        order=rng.random((count, 4)).argsort(axis=1),
        grey=rng.random(count) < spec.grey_p,
        blur=rng.random(count) < spec.blur_p,
        sigma=rng.uniform(*BLUR_SIGMA, count),
        solarize=rng.random(count) < spec.solarize_p,
        warp=_draw_warps(spec, count, rng),
    )


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
    """Views of `images` with `parameters`.

    images: (N, H, W, 3) uint8 on any device. Returns (N, 3, size, size) float32 there, normalised.
    """
    pixels = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    views = _crop_and_resize(pixels, parameters, spec.size)
    del pixels
    if spec.warps and not spec.warp_last:
        views = _warp(views, parameters)
    if spec.jitter_p > 0:
        _jitter(views, parameters)
    _apply(views, np.flatnonzero(parameters.grey), _grey_image)
    _apply(views, np.flatnonzero(parameters.blur), gaussian_blur, parameters.sigma)
    _apply(views, np.flatnonzero(parameters.solarize), solarize)
    if spec.warps and spec.warp_last:
        views = _warp(views, parameters)
    return normalize(views, spec.mean, spec.std)


def _warp(views: Tensor, parameters: ViewParameters) -> Tensor:
    numbers = torch.from_numpy(parameters.warp.astype(np.float32))
    numbers = numbers.to(views.device, non_blocking=True)
    return affine(views, numbers[:, 0], numbers[:, 1:3], numbers[:, 3])


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels - mean) / std by channel, in place; pixels (N, 3, H, W) in 0..1."""
    return pixels.sub_(_by_channel(mean, pixels)).div_(_by_channel(std, pixels))


def _by_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """(1, 3, 1, 1) of three numbers, filled on the device: a copy from the host would wait."""
    channels = [torch.full((1, 1, 1, 1), float(v), device=like.device) for v in values]
    return torch.cat(channels, dim=1)


def resize_plain(images: Tensor, size: int, mean, std, crop: float = 1.0) -> Tensor:
    """Whole images at `size` without augmentation, normalised: what features are extracted from.

    images: (N, H, W, 3) uint8; crop: share of both sides, in the middle, that is shown. Returns
    (N, 3, size, size) float32.
    """
    count, height, width, _ = images.shape
    pixels = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    part = _middle_part(height, width, crop)
    if part != (0, 0, size, size) or (height, width) != (size, size):
        box = np.tile(np.array(part), (count, 1))
        pixels = _resample(pixels, box, np.zeros(count, bool), size)
    return normalize(pixels, mean, std)


def _crop_and_resize(pixels: Tensor, parameters: ViewParameters, size: int) -> Tensor:
    return _resample(pixels, parameters.box, parameters.flip, size)


def _resample(pixels: Tensor, box: np.ndarray, flip: np.ndarray, size: int) -> Tensor:
    """Crops, flips and resizes by two batched products; clamps after each pass, as Pillow does."""
    _, _, height, width = pixels.shape
    # One transfer for all the numbers that the weights are made of.
    numbers = torch.from_numpy(np.concatenate([box, flip[:, None]], axis=1).astype(np.float32))
    top, left, box_h, box_w, flipped = numbers.to(pixels.device, non_blocking=True).unbind(1)
    across = _resize_weights(left, box_w, width, size, flipped).unsqueeze(1)
    down = _resize_weights(top, box_h, height, size, None).unsqueeze(1)
    pixels = torch.matmul(pixels, across.transpose(-1, -2)).clamp_(0, 1)
    return torch.matmul(down, pixels).clamp_(0, 1)


def _resize_weights(start: Tensor, length: Tensor, full: int, size: int, flipped: Tensor | None):
    """Weights (N, size, full) that cut [start, start + length) and resize it to `size` pixels."""
    target = torch.arange(size, device=start.device, dtype=torch.float32)
    target = target.expand(len(start), size)
    if flipped is not None:
        target = torch.where(flipped[:, None] > 0, size - 1 - target, target)
    scale = (length / size)[:, None]
    centre = (target + 0.5) * scale + start[:, None]
    source = torch.arange(full, device=start.device, dtype=torch.float32)
    stretch = scale.clamp(min=1.0)[:, :, None]  # antialiasing: a wider kernel when shrinking
    weights = _bicubic((source[None, None, :] + 0.5 - centre[:, :, None]) / stretch)
    inside = (source >= start[:, None]) & (source < (start + length)[:, None])
    weights = weights * inside[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def _bicubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -0.5, as in Pillow."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _apply(views: Tensor, rows: np.ndarray, operation, *per_image: np.ndarray) -> None:
    """Replaces `views[rows]` by the operation's result. Rows are host data: no device sync."""
    if len(rows) == 0:
        return
    everything = len(rows) == len(views)
    index = torch.from_numpy(rows).to(views.device, non_blocking=True)
    chosen = views if everything else views.index_select(0, index)
    arguments = [
        torch.from_numpy(values[rows].astype(np.float32)).to(views.device, non_blocking=True)
        for values in per_image
    ]
    result = operation(chosen, *arguments)
    if everything:
        views.copy_(result)
    else:
        views.index_copy_(0, index, result)


def _jitter(views: Tensor, parameters: ViewParameters) -> None:
    for position in range(4):
        for kind, operation in enumerate((brightness, contrast, saturation, hue)):
            rows = np.flatnonzero(parameters.jitter & (parameters.order[:, position] == kind))
            _apply(views, rows, operation, parameters.factor[:, kind])


def _blend(views: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    return (views * factor + other * (1 - factor)).clamp_(0, 1)


def _grey(views: Tensor) -> Tensor:
    return (views * _by_channel(GREY_WEIGHTS, views)).sum(dim=1, keepdim=True)


def _grey_image(views: Tensor) -> Tensor:
    return _grey(views).expand_as(views)


def brightness(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with black; views (N, 3, S, S) in 0..1, factor (N,)."""
    return (views * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with the image's mean grey value."""
    return _blend(views, _grey(views).mean(dim=(2, 3), keepdim=True), factor)


def saturation(views: Tensor, factor: Tensor) -> Tensor:
    """Blends with the grey image."""
    return _blend(views, _grey(views), factor)


def hue(views: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue of HSV by `shift` turns, (N,) in -0.5..0.5."""
    red, green, blue = views.unbind(1)
    value, brightest = views.max(dim=1)
    chroma = value - views.amin(dim=1)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sextant = torch.where(
        brightest == 0,
        (green - blue) / safe,
        torch.where(brightest == 1, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sextant = sextant + 6 * shift.view(-1, 1, 1)
    # Channel n of HSV's inverse: value - chroma * max(0, min(k, 4 - k, 1)), k = (n + sextant) mod 6
    k = (_by_channel((5, 3, 1), views) + sextant.unsqueeze(1)) % 6
    ramp = torch.minimum(k, 4 - k).clamp_(0, 1)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * ramp


def gaussian_blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian with `sigma` (N,) pixels of its own for every image, reflected borders."""
    count, channels, height, width = views.shape
    radius = min(int(np.ceil(3 * BLUR_SIGMA[1])), height - 1, width - 1)
    offset = torch.arange(-radius, radius + 1, device=views.device, dtype=views.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    groups = count * channels
    flat = F.pad(views, (radius, radius, radius, radius), mode="reflect")
    flat = flat.reshape(1, groups, height + 2 * radius, width + 2 * radius)
    flat = F.conv2d(flat, kernel.view(groups, 1, 1, -1), groups=groups)
    flat = F.conv2d(flat, kernel.view(groups, 1, -1, 1), groups=groups)
    return flat.view(count, channels, height, width)


def solarize(views: Tensor) -> Tensor:
    """Inverts the pixels at or above the threshold of 128 of 255."""
    return torch.where(views >= SOLARIZE_THRESHOLD, 1 - views, views)
