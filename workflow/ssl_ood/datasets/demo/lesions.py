"""Lesions drawn into crops of normal pictures. They are no medicine: the demo has no other.

Each function draws one kind into pixels (H, W, 3), floats in 0..255, with a generator of random
numbers, and returns the new pixels. Lengths are shares of the crop's shorter side.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ssl_ood.common.errors import UserError

OPACITY_DIAMETER = (0.14, 0.30)
OPACITY_STRENGTH = (0.3, 0.6)  # 1 would hide what lies below
OPACITY_COLOUR = (255, 226, 170)  # of exudate
SPOT_NUMBER = (5, 10)
SPOT_RADIUS = (0.01, 0.024)
SPOT_STRENGTH = (0.35, 0.65)
SPOT_COLOURS = ((128, 22, 20), (252, 214, 140))  # of a small bleeding, of a hard exudate
POLYP_DIAMETER = (0.25, 0.50)
POLYP_COLOUR = (198, 128, 104)
POLYP_STRENGTH = (0.4, 0.65)


def draw(kind: str, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop (H, W, 3) uint8 with a lesion of that kind in it. Raises UserError for no kind."""
    if kind not in KINDS:
        raise UserError(
            f"The catalogue names a lesion {kind!r}: there is none, only {', '.join(KINDS)}."
        )
    drawn = KINDS[kind](pixels.astype(np.float64), rng)
    return np.round(np.clip(drawn, 0, 255)).astype(np.uint8)


def opacity(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One soft bright blob with an irregular outline."""
    depth = _blob(pixels.shape, rng, OPACITY_DIAMETER, irregular=0.5)
    cover = rng.uniform(*OPACITY_STRENGTH) / (1 + np.exp((depth - 1) / 0.2))
    return _blend(pixels, OPACITY_COLOUR, cover)


def spots(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A loose group of small dots, some dark and some bright."""
    side = min(pixels.shape[:2])
    centre = _place(pixels.shape, rng, 0.25)
    for _ in range(rng.integers(SPOT_NUMBER[0], SPOT_NUMBER[1] + 1)):
        offset = rng.normal(0, 0.1 * side, 2)
        distance = np.hypot(*_from(pixels.shape, centre + offset))
        radius = rng.uniform(*SPOT_RADIUS) * side
        cover = rng.uniform(*SPOT_STRENGTH) / (1 + np.exp((distance - radius) / (0.35 * radius)))
        pixels = _blend(pixels, SPOT_COLOURS[rng.integers(len(SPOT_COLOURS))], cover)
    return pixels


def polyp(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth dome over the texture, lit from one side, with a shining spot and a shadow."""
    depth, rows, columns = _blob(pixels.shape, rng, POLYP_DIAMETER, irregular=0.5, coordinates=True)
    angle = rng.uniform(0, 2 * np.pi)
    towards_light = rows * np.sin(angle) + columns * np.cos(angle)  # -1..1 in the dome
    side = min(pixels.shape[:2])
    picture = Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.04 * side))
    below = np.asarray(picture, np.float64)  # the texture is stretched smooth
    dome = _blend(below, POLYP_COLOUR, np.full(depth.shape, rng.uniform(*POLYP_STRENGTH)))
    shade = 1 + 0.15 * towards_light - 0.12 * np.clip(depth, 0, 1) ** 3
    dome = dome * shade[..., None]
    shine = np.exp(-(((depth - 0.45) / 0.16) ** 2)) * np.clip(towards_light / 0.45, 0, 1) ** 6
    dome = _blend(dome, (255, 250, 245), 0.5 * shine)
    shadow = 0.2 * np.exp(-(((depth - 1) / 0.2) ** 2)) * np.clip(-towards_light, 0, 1)
    ground = pixels * (1 - shadow[..., None])
    inside = 1 / (1 + np.exp((depth - 1) / 0.06))
    return ground + (dome - ground) * inside[..., None]


KINDS = {"opacity": opacity, "spots": spots, "polyp": polyp}


def _blob(shape, rng, diameter, irregular: float, coordinates: bool = False):
    """Distance to the middle of a blob, 1 on its outline, (H, W); with `coordinates` also these.

    The outline is a circle plus waves of 2 to 5 periods, the longest the highest, that move it by
    half of `irregular` at most.
    """
    radius = rng.uniform(*diameter) / 2 * min(shape[:2])
    rows, columns = _from(shape, _place(shape, rng, diameter[1] / 2))
    angle = np.arctan2(rows, columns)
    outline = np.ones(shape[:2])
    waves = np.arange(2, 6)
    heights = rng.dirichlet(np.ones(len(waves))) / waves
    for wave, share in zip(waves, heights, strict=True):
        outline += irregular * share * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    depth = np.hypot(rows, columns) / (radius * outline)
    return (depth, rows / radius, columns / radius) if coordinates else depth


def _place(shape, rng, margin: float) -> np.ndarray:
    """A random (row, column), away from the edges by this share of the shorter side."""
    edge = margin * min(shape[:2])
    return np.array([rng.uniform(edge, length - edge) for length in shape[:2]])


def _from(shape, place) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of all pixels, counted from a place, (H, W) each."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return rows - place[0], columns - place[1]


def _blend(pixels: np.ndarray, colour, cover: np.ndarray) -> np.ndarray:
    return pixels + (np.array(colour, np.float64) - pixels) * cover[..., None]
