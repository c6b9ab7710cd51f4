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
from torch import Tensor

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
    jitter: strengths of brightness, contrast, saturation, hue.
    """

    size: int
    scale: tuple[float, float]
    flip_p: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_p: float = 0.8
    grey_p: float = 0.2
    blur_p: float = 0.5
    solarize_p: float = 0.0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ViewParameters:
    """The random choices for N views of one kind, host arrays with N rows.

    box: (N, 4) integer top, left, height, width; factor: (N, 4) of brightness, contrast,
    saturation (multipliers) and hue (a shift in turns); order: (N, 4) the order of the four;
    sigma: (N,) pixels. The other fields are booleans.
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

    def rows(self, part: slice) -> ViewParameters:
        """The parameters of the images in `part`."""
        return ViewParameters(**{name: values[part] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, views: Sequence[ViewParameters]) -> ViewParameters:
        """The parameters of several views of the same images, one after the other."""
        columns = {name: [vars(view)[name] for view in views] for name in vars(views[0])}
        return cls(**{name: np.concatenate(values) for name, values in columns.items()})


def draw(
    spec: ViewSpec, count: int, height: int, width: int, rng: np.random.Generator
) -> ViewParameters:
    """Draws the parameters of `count` views of images of (height, width) pixels."""
    strengths = np.asarray(spec.jitter)
    low = np.array([*np.maximum(0, 1 - strengths[:3]), -strengths[HUE]])
    high = np.array([*(1 + strengths[:3]), strengths[HUE]])
    return ViewParameters(
        box=_draw_boxes(spec.scale, count, height, width, rng),
        flip=rng.random(count) < spec.flip_p,
        jitter=rng.random(count) < spec.jitter_p,
        factor=low + (high - low) * rng.random((count, 4)),
        order=rng.random((count, 4)).argsort(axis=1),
        grey=rng.random(count) < spec.grey_p,
        blur=rng.random(count) < spec.blur_p,
        sigma=rng.uniform(*BLUR_SIGMA, count),
        solarize=rng.random(count) < spec.solarize_p,
    )


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

    The work is done in the layout (view, row, channel, column), in which a product with one matrix
    a view from either side resizes or blurs the three channels at once.
    """
    chosen = _Chosen(parameters, images.device)
    pixels = _crop_and_resize(images, chosen.numbers, spec.size)
    if spec.jitter_p > 0:
        for position in range(4):
            for kind, operation in enumerate((brightness, contrast, saturation, hue)):
                chosen.apply(pixels, (position, kind), operation, FACTOR + kind)
    chosen.apply(pixels, "grey", _grey_image)
    chosen.apply(pixels, "blur", gaussian_blur, SIGMA)
    chosen.apply(pixels, "solarize", solarize)
    return normalize(_channels_second(pixels), spec.mean, spec.std)


TOP, LEFT, HEIGHT, WIDTH, FLIP, FACTOR, SIGMA = 0, 1, 2, 3, 4, 5, 9  # columns of `numbers`


class _Chosen:
    """The parameters on the device: the numbers (V * N, 10), and the rows of every operation.

    Two transfers, without a synchronisation, bring all that `render` needs: which rows an operation
    takes is known to the host.
    """

    def __init__(self, parameters: ViewParameters, device: torch.device) -> None:
        self.count = len(parameters.flip)
        numbers = np.column_stack(
            [parameters.box, parameters.flip, parameters.factor, parameters.sigma]
        )
        rows: dict[str | tuple[int, int], np.ndarray] = {
            name: np.flatnonzero(getattr(parameters, name)) for name in ("grey", "blur", "solarize")
        }
        for position in range(4):
            for kind in range(4):
                here = parameters.jitter & (parameters.order[:, position] == kind)
                rows[position, kind] = np.flatnonzero(here)
        every = torch.from_numpy(np.concatenate(list(rows.values())))
        self.numbers = torch.from_numpy(numbers.astype(np.float32)).to(device, non_blocking=True)
        parts = every.to(device, non_blocking=True).split([len(r) for r in rows.values()])
        self.rows = dict(zip(rows, parts, strict=True))

    def apply(self, pixels: Tensor, name, operation, argument: int | None = None) -> None:
        """Replaces the chosen rows of pixels (V * N, S, 3, S) by the operation's result."""
        rows = self.rows[name]
        if len(rows) == 0:
            return
        everything = len(rows) == self.count
        part = _channels_second(pixels if everything else pixels.index_select(0, rows))
        arguments = []
        if argument is not None:
            column = self.numbers[:, argument]
            arguments = [column if everything else column.index_select(0, rows)]
        result = _channels_second(operation(part, *arguments))
        if everything:
            pixels.copy_(result)
        else:
            pixels.index_copy_(0, rows, result)


def _channels_second(pixels: Tensor) -> Tensor:
    """(N, S, 3, S) seen as (N, 3, S, S) or the other way round; the memory stays as it is."""
    return pixels.transpose(1, 2)


def normalize(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixels - mean) / std by channel, a new contiguous tensor; pixels (N, 3, H, W) in 0..1."""
    out = torch.empty(pixels.shape, dtype=pixels.dtype, device=pixels.device)
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        torch.sub(pixels[:, channel], m, out=out[:, channel])
        out[:, channel].div_(s)
    return out


def resize_plain(images: Tensor, size: int, mean, std) -> Tensor:
    """Whole images at `size` without augmentation, normalised: what features are extracted from.

    images: (N, H, W, 3) uint8. Returns (N, 3, size, size) float32.
    """
    count, height, width, _ = images.shape
    if (height, width) == (size, size):
        pixels = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    else:
        box = torch.tensor([0, 0, height, width, 0], dtype=torch.float32)
        box = box.to(images.device, non_blocking=True).expand(count, 5)
        pixels = _channels_second(_crop_and_resize(images, box, size))
    return normalize(pixels, mean, std)


def _crop_and_resize(images: Tensor, numbers: Tensor, size: int) -> Tensor:
    """Crops, flips and resizes by two batched products; clamps after each pass, as Pillow does.

    images: (N, H, W, 3) uint8; numbers: (V * N, ...) with the box and the flip in its first five
    columns. Returns (V * N, size, 3, size) in 0..1.
    """
    count, height, width, _ = images.shape
    top, left, box_h, box_w, flipped = numbers[:, :FACTOR].unbind(1)
    # The 255 of uint8 goes into the first weights: one pass over the pixels less.
    across = _resize_weights(left, box_w, width, size, flipped).div_(255).transpose(1, 2)
    down = _resize_weights(top, box_h, height, size, None)
    pixels = images.transpose(2, 3).to(torch.float32).reshape(count, height * 3, width)
    narrow = pixels.new_empty(len(numbers), height * 3, size)
    for first in range(0, len(numbers), count):
        view = slice(first, first + count)
        torch.bmm(pixels, across[view], out=narrow[view])
    narrow.clamp_(0, 1)
    out = torch.bmm(down, narrow.view(-1, height, 3 * size)).clamp_(0, 1)
    return out.view(-1, size, 3, size)


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


def _blend(views: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    return (views * factor + other * (1 - factor)).clamp_(0, 1)


def _grey(views: Tensor) -> Tensor:
    red, green, blue = views.split(1, dim=1)
    r, g, b = GREY_WEIGHTS
    return (red * r).add_(green, alpha=g).add_(blue, alpha=b)


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
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # A grey pixel has differences of 0, so that any divisor does.
    inverse = chroma.clamp(min=1e-12).reciprocal_()
    sextant = torch.where(
        red == value,
        (green - blue) * inverse,
        torch.where(green == value, (blue - red) * inverse + 2, (red - green) * inverse + 4),
    )
    sextant = sextant.add_(6 * shift.view(-1, 1, 1)).remainder_(6)
    # A channel of HSV's inverse: value - chroma * clamp(2 - d, 0, 1), d the distance of the hue
    # from the channel's opposite colour on the circle of six sextants.
    out = torch.empty_like(views)
    for channel, opposite in enumerate((3, 5, 1)):
        distance = (sextant - opposite).abs_()
        distance = torch.minimum(distance, 6 - distance)
        ramp = distance.neg_().add_(2).clamp_(0, 1)
        torch.addcmul(value, chroma, ramp, value=-1, out=out[:, channel])
    return out


def gaussian_blur(views: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian with `sigma` (N,) pixels of its own for every image, reflected borders.

    As products with one matrix an image from either side: several times as fast as a convolution
    with as many groups as there are images.
    """
    count, channels, height, width = views.shape
    radius = min(int(np.ceil(3 * BLUR_SIGMA[1])), height - 1, width - 1)
    offset = torch.arange(-radius, radius + 1, device=views.device, dtype=views.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    rows = views.transpose(1, 2).reshape(count, height * channels, width)
    rows = torch.bmm(rows, _blur_matrix(kernel, width).transpose(1, 2))
    rows = torch.bmm(_blur_matrix(kernel, height), rows.view(count, height, channels * width))
    return rows.view(count, height, channels, width).transpose(1, 2)


def _blur_matrix(kernel: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that convolve `size` pixels, reflected at both ends, with kernels
    (N, taps)."""
    count, taps = kernel.shape
    pixel = torch.arange(size, device=kernel.device)
    source = pixel[:, None] + torch.arange(taps, device=kernel.device)[:, None, None] - taps // 2
    last = size - 1
    source = last - (last - source.abs()).abs()  # reflected without repeating the border
    takes = (source == pixel).to(kernel.dtype)  # (taps, size, size): which pixel a tap reads
    return (kernel @ takes.view(taps, -1)).view(count, size, size)


def solarize(views: Tensor) -> Tensor:
    """Inverts the pixels at or above the threshold of 128 of 255."""
    return torch.where(views >= SOLARIZE_THRESHOLD, 1 - views, views)
