"""Duplicates between packed sets: found where they are, and only there."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from support.packed import write_packed

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.duplicates import (
    NEAR,
    _nearest,
    correlation,
    difference_hash,
    duplicates,
    find_duplicates,
)
from ssl_ood.datasets.packed import open_packed


def packed(folder, images):
    return write_packed(folder, images, dataset=folder.name)


def scenes(rng, count, size=32):
    """Smooth random pictures with structure."""
    small = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(s).resize((size, size), Image.BICUBIC)) for s in small]
    )


def changed(image, kind):
    picture = Image.fromarray(image)
    if kind == "compressed":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=60)
        return np.asarray(Image.open(stream))
    if kind == "scaled":
        return np.asarray(picture.resize((24, 24), Image.BICUBIC).resize((32, 32), Image.BICUBIC))
    return np.clip(image * 0.8 + 20, 0, 255).astype(np.uint8)  # brighter


def test_identical_and_near_images_are_counted_apart(tmp_path, rng):
    pictures = scenes(rng, 60)
    auxiliary, test = pictures[:40], pictures[40:].copy()
    test[3] = auxiliary[7]
    for row, kind in ((5, "compressed"), (6, "scaled"), (9, "brighter")):
        test[row] = changed(auxiliary[row], kind)
    a, b = packed(tmp_path / "a", auxiliary), packed(tmp_path / "b", test)
    found = find_duplicates(open_packed(a), open_packed(b))
    assert (found["images"], found["identical"], found["near"]) == (20, 1, 3)
    assert found["examples"] == [["a7", "b3"]]
    report = duplicates(a, {"b": b, "a again": a})
    assert report["identical"] == 41 and report["near"] == 3
    assert json.loads(json.dumps(report)) == report


def test_pictures_that_only_look_alike_to_the_hash_are_not_counted(tmp_path, rng):
    """Light on the left, dark on the right: the hash sees no more, the pixels do."""
    ramp = np.broadcast_to(np.linspace(250, 5, 32)[None, :, None], (32, 32, 3))
    step = np.where(ramp > 128, ramp * 0.05 + 225, ramp * 0.05 + 5)
    a, b = (packed(tmp_path / n, x[None].astype(np.uint8)) for n, x in (("a", ramp), ("b", step)))
    hashes = [difference_hash(open_packed(p).images)[0][0] for p in (a, b)]
    assert np.bitwise_count(hashes[0] ^ hashes[1]) <= NEAR
    assert find_duplicates(open_packed(a), open_packed(b))["near"] == 0


def test_flat_images_are_compared_by_their_bytes_only(tmp_path):
    flat = np.full((3, 32, 32, 3), 100, np.uint8)
    flat[1] += 1
    a, b = packed(tmp_path / "a", flat[:1]), packed(tmp_path / "b", flat[1:])
    found = find_duplicates(open_packed(a), open_packed(b))
    assert (found["identical"], found["near"], found["flat"]) == (1, 0, 2)


def test_the_hash_agrees_with_one_written_as_a_loop(rng):
    image = scenes(rng, 1, 72)[0]  # 72 is a multiple of 8 and 9: cells are whole pixels
    grey = image.astype(float) @ [0.299, 0.587, 0.114]
    bits = 0
    for row in range(8):
        cells = [grey[9 * row : 9 * row + 9, 8 * c : 8 * c + 8].mean() for c in range(9)]
        for column in range(8):
            bits |= int(cells[column] < cells[column + 1]) << (8 * row + column)
    hashes, structured = difference_hash(image[None])
    assert int(hashes[0]) == bits and structured[0]


@pytest.mark.parametrize("size", [4, 8, 9, 32, 50])
def test_the_hash_takes_every_size(rng, size):
    hashes, _ = difference_hash(scenes(rng, 5, size))
    assert len(np.unique(hashes)) == 5


def test_the_search_finds_what_comparing_all_pairs_finds(rng):
    hashes = rng.integers(0, 2**63, 500).astype(np.uint64)
    others = hashes[:300].copy()
    for i in range(300):  # i % 8 bits flipped
        for bit in rng.choice(64, i % 8, replace=False):
            others[i] ^= np.uint64(1) << np.uint64(bit)
    everything = np.ones(500, bool)
    found = _nearest(hashes, everything, others, np.ones(300, bool), lambda r, m: r >= 0)
    distance = np.bitwise_count(hashes[:, None] ^ others[None, :])
    np.testing.assert_array_equal(found >= 0, (distance <= NEAR).any(axis=1))
    assert all(distance[i, j] <= NEAR for i, j in enumerate(found) if j >= 0)


def test_correlation_is_pearsons(rng):
    a, b = scenes(rng, 4), scenes(rng, 4)
    luma = np.array([0.299, 0.587, 0.114])
    expected = [
        np.corrcoef((x @ luma).ravel(), (y @ luma).ravel())[0, 1] for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-4)


def test_sets_of_different_sizes_are_not_compared(tmp_path, rng):
    a, b = packed(tmp_path / "a", scenes(rng, 2)), packed(tmp_path / "b", scenes(rng, 2, 16))
    with pytest.raises(UserError, match="packed at different sizes"):
        find_duplicates(open_packed(a), open_packed(b))
