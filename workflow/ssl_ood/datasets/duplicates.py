"""Is an image of one packed set also in another? Identical pixels, and near-duplicates.

An auxiliary set that held images of an OOD test set would show the model the same images it is
tested on. Identical ones are a mistake; near ones (the same picture scaled, cropped a little or
compressed again) are counted and reported, never silently dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.packed import Packed, open_packed

GRID = 8  # side of the grey picture whose brightness steps are the hash
NEAR = 4  # bits of 64 in which the hashes of near-duplicates may differ
FLAT = 6.0  # grey levels: below this spread a small picture has no structure to compare
LUMA = np.array([299, 587, 114], np.float32) / 1000
BLOCK = 4096  # images at a time
EXAMPLES = 10
ALIKE = 0.97  # correlation of grey pixels that confirms what the hash suspects
COMPARED = (
    f"near: {GRID * GRID}-bit difference hashes at most {NEAR} bits apart and grey pixels "
    f"correlated by {ALIKE} or more"
)


def duplicates(auxiliary: Path, others: Mapping[str, Path]) -> dict[str, Any]:
    """Images of the packed set `auxiliary` that are in the packed sets `others` too (JSON-able).

    Returns {auxiliary, images, compared, identical, near, sets: {name: what find_duplicates says}}.
    """
    source = open_packed(auxiliary).prove()
    sets = {
        name: find_duplicates(source, open_packed(path).prove()) for name, path in others.items()
    }
    return {
        "auxiliary": str(auxiliary),
        "images": len(source),
        "compared": COMPARED,
        "identical": sum(entry["identical"] for entry in sets.values()),
        "near": sum(entry["near"] for entry in sets.values()),
        "sets": sets,
    }


def find_duplicates(auxiliary: Packed, other: Packed) -> dict[str, Any]:
    """Numbers of auxiliary images that have an identical, or else a near counterpart in `other`.

    Returns {images, identical, near, flat, examples} (JSON-able): the images of `other`; how many
    of the auxiliary ones are identical and near; how many of `other` are too flat for the
    perceptual hash (they are compared by their bytes only); up to ten pairs of file names.
    """
    if auxiliary.images.shape[1:] != other.images.shape[1:]:
        raise UserError(
            f"{auxiliary.path} and {other.path} are packed at different sizes: compare sets of one."
        )
    ours, theirs = _fingerprints(auxiliary), _fingerprints(other)
    same = _identical(ours.digests, theirs.digests)

    def alike(rows: np.ndarray, matches: np.ndarray) -> np.ndarray:
        return correlation(auxiliary.images[rows], other.images[matches]) >= ALIKE

    comparable = ours.structured & (same < 0)
    near = _nearest(ours.hashes, comparable, theirs.hashes, theirs.structured, alike)
    return {
        "images": len(other),
        "identical": int((same >= 0).sum()),
        "near": int((near >= 0).sum()),
        "flat": int((~theirs.structured).sum()),
        "examples": _examples(auxiliary, other, same) or _examples(auxiliary, other, near),
    }


def difference_hash(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dHash of (N, S, S, 3) uint8 images: (N,) uint64, and (N,) bool whether it says anything.

    The image is averaged to an 8 x 9 grey picture; a bit says whether a cell is darker than its
    right neighbour. The hash survives scaling, compression and changes of brightness.
    """
    size = images.shape[1]
    if size < GRID + 1:
        # Too small for the grid: cells are repeated, which costs discrimination, not correctness.
        images = np.repeat(np.repeat(images, GRID, axis=1), GRID, axis=2)
        size *= GRID
    rows = np.linspace(0, size, GRID + 1).astype(int)
    columns = np.linspace(0, size, GRID + 2).astype(int)
    area = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    powers = np.uint64(1) << np.arange(GRID * GRID, dtype=np.uint64)
    hashes = np.empty(len(images), np.uint64)
    structured = np.empty(len(images), bool)
    for start in range(0, len(images), BLOCK):
        grey = images[start : start + BLOCK].astype(np.float32) @ LUMA
        cells = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
        cells /= area
        bits = cells[:, :, :-1] < cells[:, :, 1:]
        part = slice(start, start + len(grey))
        hashes[part] = (bits.reshape(len(grey), -1) * powers).sum(axis=1, dtype=np.uint64)
        structured[part] = cells.reshape(len(grey), -1).std(axis=1) >= FLAT
    return hashes, structured


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) Pearson correlation of the grey pixels of (n, S, S, 3) images; 0 for a flat one."""
    flat = []
    for images in (a, b):
        grey = (images.astype(np.float32) @ LUMA).reshape(len(images), -1)
        grey -= grey.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(grey, axis=1, keepdims=True)
        flat.append(grey / np.where(norm > 0, norm, np.inf))
    return np.einsum("ij,ij->i", *flat)


@dataclass(frozen=True)
class _Fingerprints:
    digests: np.ndarray  # (N,) 16 bytes of the pixels
    hashes: np.ndarray  # (N,) uint64
    structured: np.ndarray  # (N,) bool: the hash says something


def _fingerprints(packed: Packed) -> _Fingerprints:
    """Of each image; kept, since an auxiliary set is compared with many others."""
    return _computed(packed.path, packed.meta.get("images_sha256"))


@lru_cache(maxsize=16)
def _computed(path: Path, version: str) -> _Fingerprints:
    packed = open_packed(path)
    return _Fingerprints(digests_of(packed), *difference_hash(packed.images))


def _nearest(
    hashes: np.ndarray,
    comparable: np.ndarray,
    others: np.ndarray,
    usable: np.ndarray,
    alike: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """(N,) index of some hash of `others` near to each wanted one and confirmed, else -1.

    Near is at most NEAR bits; `alike(rows, matches)` confirms. Two hashes that differ in at most
    NEAR bits agree in one of NEAR + 1 groups of bits (pigeon holes): only those are compared, so
    that 1.28 million against 80,000 are minutes, not hours.
    """
    nearest = np.full(len(hashes), -1, np.int64)
    rows = np.flatnonzero(comparable)
    candidates = np.flatnonzero(usable)
    if not len(rows) or not len(candidates):
        return nearest
    edges = np.linspace(0, GRID * GRID, NEAR + 2).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        keys = (others[candidates] >> np.uint64(low)) & mask
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        rows = rows[nearest[rows] < 0]
        parts = (hashes[rows] >> np.uint64(low)) & mask
        first = np.searchsorted(keys, parts, "left")
        count = np.searchsorted(keys, parts, "right") - first
        for start, stop in _chunks(count):
            chunk = count[start:stop]
            row = np.repeat(rows[start:stop], chunk)
            offset = np.arange(len(row)) - np.repeat(np.cumsum(chunk) - chunk, chunk)
            match = candidates[order[np.repeat(first[start:stop], chunk) + offset]]
            close = np.bitwise_count(hashes[row] ^ others[match]) <= NEAR
            row, match = row[close], match[close]
            for block in range(0, len(row), BLOCK):
                one, other = row[block : block + BLOCK], match[block : block + BLOCK]
                open_ = nearest[one] < 0
                one, other = one[open_], other[open_]
                good = alike(one, other)
                nearest[one[good]] = other[good]
    return nearest


def _chunks(count: np.ndarray, most: int = 1 << 22) -> list[tuple[int, int]]:
    """Runs of rows with at most `most` pairs together (one row may have more): bounds memory."""
    total = np.cumsum(count)
    chunks, start = [], 0
    while start < len(count):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + most, "right")), start + 1)
        chunks.append((start, stop))
        start = stop
    return chunks


def digests_of(packed: Packed) -> np.ndarray:
    """(N,) 16-byte digests of the pixels of each image."""
    digests = np.empty(len(packed), "V16")
    for i, image in enumerate(packed.images):
        digests[i] = np.void(hashlib.blake2b(image, digest_size=16).digest())
    return digests


def _identical(ours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) index of an equal digest of `others`, else -1."""
    place = {digest.tobytes(): i for i, digest in enumerate(others)}
    return np.array([place.get(digest.tobytes(), -1) for digest in ours], np.int64)


def _examples(source: Packed, other: Packed, match: np.ndarray) -> list[list[str]]:
    rows = np.flatnonzero(match >= 0)[:EXAMPLES]
    return [[source.files[row], other.files[match[row]]] for row in rows]
