"""The pictures of the page as data addresses that together stay within its size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ssl_ood.report.web import data_address

WIDTHS = (2000, 1600, 1200, 900, 700, 500, 350)  # tried in this order until all fit
ENOUGH = 120_000  # characters from which a lossy picture is tried


def embedded(paths: Sequence[Path], budget: int) -> dict[Path, tuple[str, int, int]]:
    """Every picture as (address, width, height), all at the largest width at which they fit.

    budget: characters of all addresses; where nothing fits, the smallest pictures are longer.

    Pixels stay exact where the picture is small; else WebP of high quality where that is smaller.
    """
    made: dict[Path, tuple[str, int, int]] = {}
    for width in WIDTHS:
        made = {path: _picture(path, width) for path in paths}
        if sum(len(address) for address, _, _ in made.values()) <= budget:
            break
    return made


def _picture(path: Path, width: int) -> tuple[str, int, int]:
    with Image.open(path) as opened:
        image = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    if image.width > width:
        height = round(image.height * width / image.width)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    address = data_address(image, "png", optimize=True)
    if len(address) > ENOUGH:
        address = min(address, data_address(image, "webp", quality=85, method=4), key=len)
    return address, image.width, image.height
