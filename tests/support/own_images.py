"""Folders of small pictures, as a person brings them."""

from __future__ import annotations

import zipfile

import numpy as np
from PIL import Image


def write_pictures(folder, number, *, seed=0, size=(8, 8), grey=False, name="im{:03d}.png"):
    """Writes so many different pictures; size: (width, height); name: of each, by its number."""
    rng = np.random.default_rng(seed)
    for i in range(number):
        path = folder / name.format(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (size[1], size[0]) if grey else (size[1], size[0], 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def zipped(folder, path):
    """A zip of a folder, with it at the top."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path
