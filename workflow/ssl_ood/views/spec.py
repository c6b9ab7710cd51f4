"""What one kind of view looks like. Light: the settings of the methods are made of it."""

from __future__ import annotations

from dataclasses import dataclass

BLUR_SIGMA = (0.1, 2.0)  # pixels of the view, uniform, as in DINO


@dataclass(frozen=True)
class ViewSpec:
    """What one kind of view looks like; probabilities and strengths as in torchvision.

    size: side of the view in pixels; scale: (min, max) share of the image's area in the crop;
    jitter: strengths of brightness, contrast, saturation, hue. Without a scale the view is the
    middle of the whole image, `crop` of its side. rotation: degrees at most, either way; shift:
    share of the side at most; zoom: (min, max). They come before the colours are changed, or after
    with `warp_last`. interpolation: of crop and resizing, "bicubic" or "bilinear". blur_sigma:
    (min, max) standard deviation of the blur in pixels. other: a view of the same size that a fair
    coin, thrown for every image, may show instead; only its probabilities may differ. shifting: the
    shifting transformation that every view gets, drawn anew for each; may_stay: whether a drawn
    permutation may be the identity.
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
    interpolation: str = "bicubic"
    blur_sigma: tuple[float, float] = BLUR_SIGMA
    other: ViewSpec | None = None
    shifting: str | None = None
    may_stay: bool = False

    @property
    def warps(self) -> bool:
        """Whether views are turned, shifted or zoomed at all."""
        return bool(self.rotation or self.shift or self.zoom != (1.0, 1.0))
