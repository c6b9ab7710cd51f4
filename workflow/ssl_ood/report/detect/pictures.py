"""Small pictures inside the page: images as data addresses, heat maps as transparent overlays."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ssl_ood.report.web import data_address

SIDE = 160  # pixels of a picture at most
EXACT = 64  # pixels of a side up to which a picture is kept exactly
HOT = (220, 38, 38)  # of the overlay; its opacity is the heat
MOST_OPAQUE = 0.75


def picture(pixels: np.ndarray) -> str:
    """(S, S, 3) uint8 as a data address: PNG up to 64 pixels, else JPEG of 160 pixels at most."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.width <= EXACT:
        return data_address(image, "png", optimize=True)
    if image.width > SIDE:
        image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return data_address(image, "jpeg", quality=85)


def overlay(heat: np.ndarray, span: tuple[float, float], side: int = 64) -> str:
    """A (g, g) heat map as a red picture whose opacity rises from span[0] to span[1]."""
    low, high = span
    share = np.clip((heat - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    opacity = Image.fromarray(share).resize((side, side), Image.Resampling.BILINEAR)
    alpha = (np.asarray(opacity) * MOST_OPAQUE * 255).round().astype(np.uint8)
    colour = np.broadcast_to(np.array(HOT, np.uint8), (side, side, 3))
    return data_address(Image.fromarray(np.dstack([colour, alpha]), "RGBA"), "png", optimize=True)
