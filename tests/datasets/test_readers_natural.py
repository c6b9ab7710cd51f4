"""Every natural-image dataset: a small archive in its true format, fetched, verified, packed."""

from __future__ import annotations

import gzip
import pickle
from functools import partial

import numpy as np
import pytest

from ssl_ood.common.errors import UserError


def pictures(rng, count, height, width):
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def smooth(rng, count, side):
    """Pictures that survive JPEG nearly unchanged."""
    corners = rng.integers(0, 256, (count, 2, 2, 3)).astype(float)
    t = np.linspace(0, 1, side)
    rows = corners[:, :1] * (1 - t)[None, :, None, None] + corners[:, 1:] * t[None, :, None, None]
    grid = rows[:, :, :1] * (1 - t)[None, None, :, None] + rows[:, :, 1:] * t[None, None, :, None]
    return grid.round().astype(np.uint8)


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar10(mirror, small, through, make, rng, protocol):
    images, labels = pictures(rng, 12, 32, 32), rng.integers(0, 10, 12).tolist()
    make.cifar10(mirror.folder, (images[:10], labels[:10]), (images[10:], labels[10:]), protocol)
    dataset = small("cifar10", mirror.folder, mirror.url, train=10, test=2)
    train, test = through(dataset, "train", 32), through(dataset, "test", 32)
    np.testing.assert_array_equal(train.images, images[:10])
    np.testing.assert_array_equal(test.images, images[10:])
    assert train.labels.tolist() == labels[:10] and test.labels.tolist() == labels[10:]
    assert train.files == [f"{i}.png" for i in range(10)] and test.files[0] == "10.png"
    assert train.meta["classes"] == list("0123456789")


def test_cifar100_has_fine_labels(mirror, small, through, make, rng):
    images, fine = pictures(rng, 5, 32, 32), [99, 0, 3, 50, 7]
    make.cifar100(mirror.folder, (images[:3], fine[:3]), (images[3:], fine[3:]))
    dataset = small("cifar100", mirror.folder, mirror.url, train=3, test=2)
    packed = through(dataset, "train", 32)
    np.testing.assert_array_equal(packed.images, images[:3])
    assert packed.labels.tolist() == fine[:3]
    assert through(dataset, "test", 32).labels.tolist() == fine[3:]


def test_a_pickle_that_calls_something_is_refused(mirror, small, through, make, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    files = {
        "cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": []}),
        "cifar-10-batches-py/test_batch": pickle.dumps({"data": Evil(), "labels": []}),
    }
    make.tar(mirror.folder / "cifar-10-python.tar.gz", files)
    with pytest.raises(UserError, match=r"test_batch is not a batch of CIFAR's \(it wants to call"):
        through(small("cifar10", mirror.folder, mirror.url, test=1), "test", 32)
    assert not (tmp_path / "evil").exists()


def test_svhn(mirror, small, through, make, rng):
    images, labels = pictures(rng, 7, 32, 32), np.array([10, 1, 9, 10, 5, 3, 2])
    make.svhn(mirror.folder, images, labels)
    packed = through(small("svhn", mirror.folder, mirror.url, test=7), "test", 32)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 1, 9, 0, 5, 3, 2]


def test_a_truncated_svhn_file_is_said(mirror, small, through, make, rng):
    path = make.svhn(mirror.folder, pictures(rng, 9, 32, 32), np.ones(9))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"test_32x32.mat is truncated or no SVHN file"):
        through(small("svhn", mirror.folder, mirror.url, test=9), "test", 32)


def test_stl10_is_stored_columns_first(mirror, small, through, make, rng):
    images, labels = pictures(rng, 3, 96, 96), np.array([1, 10, 4], np.uint8)
    make.stl10(mirror.folder, images, labels)
    dataset = small("stl10", mirror.folder, mirror.url, test=3)
    packed = through(dataset, "test", 96)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 9, 3] and packed.meta["classes"][9] == "truck"
    assert through(dataset, "test", 32).images.shape == (3, 32, 32, 3)


def test_tinyimagenet_labels_come_from_its_table(mirror, small, through, make, rng):
    images = smooth(rng, 4, 64)
    make.tinyimagenet(mirror.folder, images, [1, 0, 2, 1], make.jpeg)
    packed = through(small("tinyimagenet", mirror.folder, mirror.url, val=4), "val", 64)
    np.testing.assert_array_equal(packed.images, [make.decoded(make.jpeg(m)) for m in images])
    assert np.abs(packed.images.astype(int) - images).mean() < 3
    assert packed.labels.tolist() == [1, 0, 2, 1] and packed.files[2] == "val_2.JPEG"


def test_a_table_of_tinyimagenet_without_classes_is_said(mirror, small, through, make):
    root = "tiny-imagenet-200"
    files = {f"{root}/wnids.txt": b"n01\n", f"{root}/val/val_annotations.txt": b"val_0.JPEG n01\n"}
    make.zipped(mirror.folder / "tiny-imagenet-200.zip", files)
    with pytest.raises(
        UserError, match=r"must have an image and a class of wnids.txt in every line"
    ):
        through(small("tinyimagenet", mirror.folder, mirror.url, val=1), "val", 64)


def test_imagenet_train_is_a_tar_of_tars(mirror, small, through, make, rng):
    images = {s: pictures(rng, 3, 32, 32) for s in ("n02", "n01", "n10")}
    make.imagenet(mirror.folder, images)
    make.tar(
        mirror.folder / "ILSVRC2012_img_val.tar",
        {"ILSVRC2012_val_00000001.JPEG": make.encoded(images["n01"][0])},
    )
    dataset = small("imagenet", mirror.folder, train=9, val=1)
    packed = through(dataset, "train", 32, workers=2)
    np.testing.assert_array_equal(packed.images, np.concatenate(list(images.values())))
    assert packed.labels.tolist() == [1, 1, 1, 0, 0, 0, 2, 2, 2]  # numbers of the sorted synsets
    assert packed.files[0] == "n02/n02_0.JPEG" and packed.meta["classes"] == ["n01", "n02", "n10"]
    assert through(dataset, "val", 32).labels.tolist() == [-1]


def test_a_split_whose_archive_was_not_fetched_says_how(mirror, small, through, make, rng):
    make.tar(mirror.folder / "ILSVRC2012_img_train.tar", {})
    with pytest.raises(
        UserError, match=r"val of imagenet is read from ILSVRC2012_img_val.tar.*--optional"
    ):
        through(small("imagenet", mirror.folder, val=1), "val", 32)


def test_imagenet30(mirror, small, through, make, rng):
    images = pictures(rng, 4, 40, 40)
    make.imagenet30(mirror.folder, images, ["acorn", "banjo", "acorn", "barn"])
    packed = through(small("imagenet30", mirror.folder, test=4), "test", 40)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 1, 0, 2]
    assert packed.meta["classes"] == ["acorn", "banjo", "barn"]


@pytest.mark.parametrize(
    ("name", "root"), [("lsun_resize", "LSUN_resize"), ("tinyimagenet_odin", "Imagenet_resize")]
)
def test_the_odin_sets(mirror, small, through, make, rng, name, root):
    images = pictures(rng, 6, 36, 36)
    make.odin(mirror.folder, root, images)
    packed = through(small(name, mirror.folder, mirror.url, test=6), "test", 36)
    np.testing.assert_array_equal(packed.images, images)
    assert set(packed.labels) == {-1} and packed.meta["classes"] is None


def test_lsun_as_its_authors_publish_it(mirror, small, through, make, rng, tmp_path):
    images = pictures(rng, 5, 24, 24)
    make.lsun(mirror.folder, images, partial(make.encoded, kind="WEBP", lossless=True))
    packed = through(small("lsun", mirror.folder, mirror.url, test=5), "test", 24)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.files[3] == f"{3:040x}"
    assert not list(tmp_path.glob("data/**/data.mdb")), "the unpacked lmdb is left behind"


@pytest.mark.parametrize("mdb", [b"no lmdb", bytes(100_000)])
def test_a_damaged_lmdb_is_said(mirror, small, through, make, mdb):
    make.zipped(mirror.folder / "test_lmdb.zip", {"test_lmdb/data.mdb": mdb})
    with pytest.raises(UserError, match=r"test_lmdb.zip is damaged \("):
        through(small("lsun", mirror.folder, mirror.url, test=5), "test", 24)


def test_places365(mirror, small, through, make, rng):
    images = pictures(rng, 5, 32, 32)
    labels = [2, 0, 1, 1, 2]
    make.places365(mirror.folder, images, labels)
    packed = through(small("places365", mirror.folder, mirror.url, validation=5), "validation", 32)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == labels and packed.meta["classes"][2] == "/z/zen_garden"


def test_a_seeded_part_of_places365(mirror, small, through, make, rng):
    images = pictures(rng, 20, 8, 8)
    make.places365(mirror.folder, images, [0] * 20)
    part = {"count": 6, "select": {"seed": 0, "stop": 6}}
    packed = through(
        small("places365_10k", mirror.folder, mirror.url, validation=part), "validation", 8
    )
    rows = [int(file[-12:-4]) for file in packed.files]
    assert rows == sorted(set(rows)) and len(rows) == 6 and rows != list(range(6))
    np.testing.assert_array_equal(packed.images, images[rows])


def test_a_list_of_places365_without_categories_is_said(mirror, small, through, make, rng):
    make.places365(mirror.folder, pictures(rng, 1, 8, 8), [0])
    make.places365_lists(mirror.folder, b"Places365_val_00000000.jpg\n")
    with pytest.raises(UserError, match=r"places365_val.txt must have an image and the number"):
        through(small("places365", mirror.folder, mirror.url, validation=1), "validation", 8)


def test_dtd_with_and_without_its_list(mirror, small, through, make, rng):
    images = pictures(rng, 4, 32, 48)
    classes = ["banded", "banded", "zigzagged", "zigzagged"]
    make.dtd(mirror.folder, images, classes, test1=[3, 1])
    dataset = small("texture", mirror.folder, mirror.url, all=4, test=2)
    packed = through(dataset, "all", 32)
    np.testing.assert_array_equal(packed.images, images[:, :, 8:40])  # the middle
    assert packed.labels.tolist() == [0, 0, 1, 1]
    test = through(dataset, "test", 32)
    assert test.files == ["dtd/images/banded/banded_1.jpg", "dtd/images/zigzagged/zigzagged_3.jpg"]


def test_dti(mirror, small, through, make, rng):
    images = pictures(rng, 100, 32, 32)
    make.dti(mirror.folder, images)
    packed = through(small("dti", mirror.folder, mirror.url, train=100), "train", 32)
    np.testing.assert_array_equal(packed.images, images)
    assert set(packed.labels) == {-1}


@pytest.mark.parametrize("what", ["pickled", "truncated", "floats"])
def test_a_dti_file_that_is_none_is_said(mirror, small, through, rng, what):
    path = mirror.folder / "300K_random_images.npy"
    images = pictures(rng, 10, 32, 32)
    if what == "pickled":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        np.save(path, images / 255 if what == "floats" else images)
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    expected = "holds float64" if what == "floats" else "is truncated or no array"
    with pytest.raises(UserError, match=expected):
        through(small("dti", mirror.folder, mirror.url, train=10), "train", 32)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_and_fashionmnist(mirror, small, through, make, rng, name):
    images, labels = rng.integers(0, 256, (8, 28, 28), np.uint8), np.arange(8)
    make.idx(mirror.folder, "train", images, labels)
    make.idx(mirror.folder, "t10k", images[:3], labels[:3])
    dataset = small(name, mirror.folder, mirror.url, train=8, test=3)
    packed = through(dataset, "train", 28)
    np.testing.assert_array_equal(packed.images, np.repeat(images[..., None], 3, axis=-1))
    assert packed.labels.tolist() == list(range(8)) and len(through(dataset, "test", 28)) == 3


def test_the_halves_of_fashionmnist(mirror, small, through, make, rng):
    images, labels = rng.integers(0, 256, (200, 28, 28), np.uint8), rng.integers(0, 10, 200)
    for prefix in ("train", "t10k"):
        make.idx(mirror.folder, prefix, images, labels)
    part = {"count": 30, "select": {"seed": 0, "stop": 30, "classes": [5, 6, 7, 8, 9]}}
    dataset = small("fashion_high", mirror.folder, mirror.url, train=part, test=part)
    packed = through(dataset, "train", 28)
    rows = [int(file.removeprefix("train/")) for file in packed.files]
    assert packed.labels.min() >= 5 and packed.labels.tolist() == labels[rows].tolist()
    np.testing.assert_array_equal(packed.images[..., 1], images[rows])
    too_many = {"count": 150, "select": {"seed": 0, "stop": 150, "classes": [5, 6, 7, 8, 9]}}
    dataset = small("fashion_high", mirror.folder, mirror.url, train=too_many)
    with pytest.raises(UserError, match="needs 150 images to choose from, its archive holds"):
        through(dataset, "train", 28)


@pytest.mark.parametrize("what", ["truncated", "no idx", "labels of another"])
def test_idx_files_that_are_none_are_said(mirror, small, through, make, rng, what):
    images = rng.integers(0, 256, (9, 28, 28), np.uint8)
    for prefix in ("train", "t10k"):
        make.idx(mirror.folder, prefix, images, np.arange(8 if what == "labels of another" else 9))
    path = mirror.folder / "train-images-idx3-ubyte.gz"
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif what == "no idx":
        path.write_bytes(gzip.compress(b"something else"))
    expected = {"truncated": "truncated or damaged", "no idx": "is not an IDX file"}
    with pytest.raises(UserError, match=expected.get(what, "do not belong together")):
        through(small("mnist", mirror.folder, mirror.url, train=9), "train", 28)
