"""Every natural-image dataset: a small archive in its true format, fetched, verified, packed."""

from __future__ import annotations

import gzip
import pickle
import struct

import lmdb
import numpy as np
import pytest
from scipy.io import savemat

from ssl_ood.errors import UserError


def pictures(rng, count, height, width):
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def smooth(rng, count, side):
    """Pictures that survive JPEG nearly unchanged."""
    corners = rng.integers(0, 256, (count, 2, 2, 3)).astype(float)
    t = np.linspace(0, 1, side)
    rows = corners[:, :1] * (1 - t)[None, :, None, None] + corners[:, 1:] * t[None, :, None, None]
    grid = rows[:, :, :1] * (1 - t)[None, None, :, None] + rows[:, :, 1:] * t[None, None, :, None]
    return grid.round().astype(np.uint8)


def cifar_batch(images, label_key, labels, protocol, **more):
    """A batch as CIFAR's authors pickled it: rows of 3072 bytes, red plane first."""
    data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    content = {label_key: labels, "data": data, "batch_label": "test", **more}
    return pickle.dumps(content, protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar10(mirror, small, through, make, rng, protocol):
    images, labels = pictures(rng, 12, 32, 32), rng.integers(0, 10, 12).tolist()
    names = [f"{c}.png" for c in "abcdefghijkl"]
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": list("0123456789")})}
    for i in range(6):
        part = slice(2 * i, 2 * i + 2)
        batch = f"data_batch_{i + 1}" if i < 5 else "test_batch"
        files[f"cifar-10-batches-py/{batch}"] = cifar_batch(
            images[part], "labels", labels[part], protocol, filenames=names[part]
        )
    make.tar(mirror.folder / "cifar-10-python.tar.gz", files)
    dataset = small("cifar10", mirror.folder, mirror.url, train=10, test=2)
    train, test = through(dataset, "train", 32), through(dataset, "test", 32)
    np.testing.assert_array_equal(train.images, images[:10])
    np.testing.assert_array_equal(test.images, images[10:])
    assert train.labels.tolist() == labels[:10] and test.labels.tolist() == labels[10:]
    assert train.files == names[:10] and train.meta["classes"] == list("0123456789")


def test_cifar100_has_fine_labels(mirror, small, through, make, rng):
    images, fine = pictures(rng, 5, 32, 32), [99, 0, 3, 50, 7]
    names = [f"class {i}" for i in range(100)]
    meta = {"fine_label_names": names, "coarse_label_names": []}
    files = {"cifar-100-python/meta": pickle.dumps(meta)}
    for batch, part in (("train", slice(0, 3)), ("test", slice(3, 5))):
        files[f"cifar-100-python/{batch}"] = cifar_batch(
            images[part], "fine_labels", fine[part], 2, coarse_labels=[1] * len(fine[part])
        )
    make.tar(mirror.folder / "cifar-100-python.tar.gz", files)
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
    with pytest.raises(UserError, match=r"test_batch is no batch of CIFAR's \(it wants to call"):
        through(small("cifar10", mirror.folder, mirror.url, test=1), "test", 32)
    assert not (tmp_path / "evil").exists()


def test_svhn(mirror, small, through, rng):
    images, labels = pictures(rng, 7, 32, 32), np.array([10, 1, 9, 10, 5, 3, 2])
    content = {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None].astype(np.uint8)}
    savemat(mirror.folder / "test_32x32.mat", content, do_compression=True)
    packed = through(small("svhn", mirror.folder, mirror.url, test=7), "test", 32)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 1, 9, 0, 5, 3, 2]


def test_a_truncated_svhn_file_is_said(mirror, small, through, rng):
    path = mirror.folder / "test_32x32.mat"
    savemat(path, {"X": pictures(rng, 9, 32, 32).transpose(1, 2, 3, 0), "y": np.ones((9, 1))})
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"test_32x32.mat is truncated or no SVHN file"):
        through(small("svhn", mirror.folder, mirror.url, test=9), "test", 32)


def test_stl10_is_stored_columns_first(mirror, small, through, make, rng):
    images, labels = pictures(rng, 3, 96, 96), np.array([1, 10, 4], np.uint8)
    files = {
        "stl10_binary/class_names.txt": b"\n".join(b"a b c d e f g h i truck".split()),
        "stl10_binary/unlabeled_X.bin": b"not looked at",
        "stl10_binary/test_X.bin": images.transpose(0, 3, 2, 1).tobytes(),
        "stl10_binary/test_y.bin": labels.tobytes(),
    }
    make.tar(mirror.folder / "stl10_binary.tar.gz", files)
    dataset = small("stl10", mirror.folder, mirror.url, test=3)
    packed = through(dataset, "test", 96)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 9, 3] and packed.meta["classes"][9] == "truck"
    assert through(dataset, "test", 32).images.shape == (3, 32, 32, 3)


def test_tinyimagenet_labels_come_from_its_table(mirror, small, through, make, rng):
    images = smooth(rng, 4, 64)
    jpegs = [make.encoded(image, "JPEG", quality=95) for image in images]
    table = "".join(
        f"val_{i}.JPEG\t{wnid}\t0\t0\t63\t63\n"
        for i, wnid in enumerate(["n02", "n01", "n03", "n02"])
    )
    root = "tiny-imagenet-200"
    files = {
        f"{root}/wnids.txt": b"n01\nn02\nn03\n",
        f"{root}/val/val_annotations.txt": table.encode(),
    }
    files |= {f"{root}/train/n01/images/n01_0.JPEG": jpegs[0]}
    files |= {f"{root}/val/images/val_{i}.JPEG": jpeg for i, jpeg in enumerate(jpegs)}
    make.zip(mirror.folder / "tiny-imagenet-200.zip", files)
    packed = through(small("tinyimagenet", mirror.folder, mirror.url, val=4), "val", 64)
    np.testing.assert_array_equal(packed.images, [make.decoded(jpeg) for jpeg in jpegs])
    assert np.abs(packed.images.astype(int) - images).mean() < 3
    assert packed.labels.tolist() == [1, 0, 2, 1] and packed.files[2] == "val_2.JPEG"


def test_a_table_of_tinyimagenet_without_classes_is_said(mirror, small, through, make):
    root = "tiny-imagenet-200"
    files = {f"{root}/wnids.txt": b"n01\n", f"{root}/val/val_annotations.txt": b"val_0.JPEG n01\n"}
    make.zip(mirror.folder / "tiny-imagenet-200.zip", files)
    with pytest.raises(
        UserError, match=r"must have an image and a class of wnids.txt in every line"
    ):
        through(small("tinyimagenet", mirror.folder, mirror.url, val=1), "val", 64)


def test_imagenet_train_is_a_tar_of_tars(mirror, small, through, make, rng):
    images = {s: pictures(rng, 3, 32, 32) for s in ("n02", "n01", "n10")}
    inner = {
        f"{synset}.tar": make.tar_bytes(
            {f"{synset}_{i}.JPEG": make.encoded(image) for i, image in enumerate(stack)}
        )
        for synset, stack in images.items()
    }
    make.tar(mirror.folder / "ILSVRC2012_img_train.tar", inner)
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
    files = {
        f"one_class_test/{name}/{name}/{i}.png": make.encoded(image)
        for i, (name, image) in enumerate(
            zip(["acorn", "banjo", "acorn", "barn"], images, strict=True)
        )
    }
    files["one_class_test/acorn/._0.png"] = b"what macOS leaves"
    make.tar(mirror.folder / "one_class_test.tar", files)
    packed = through(small("imagenet30", mirror.folder, test=4), "test", 40)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == [0, 1, 0, 2]
    assert packed.meta["classes"] == ["acorn", "banjo", "barn"]


@pytest.mark.parametrize(
    ("name", "archive", "root"),
    [
        ("lsun", "LSUN_resize.tar.gz", "LSUN_resize/LSUN_resize"),
        ("tinyimagenet_odin", "Imagenet_resize.tar.gz", "Imagenet_resize/Imagenet_resize"),
    ],
)
def test_the_odin_sets(mirror, small, through, make, rng, name, archive, root):
    images = pictures(rng, 6, 36, 36)
    make.tar(
        mirror.folder / archive, {f"{root}/{i}.png": make.encoded(m) for i, m in enumerate(images)}
    )
    packed = through(small(name, mirror.folder, mirror.url, test=6), "test", 36)
    np.testing.assert_array_equal(packed.images, images)
    assert set(packed.labels) == {-1} and packed.meta["classes"] is None


def test_lsun_as_its_authors_publish_it(mirror, small, through, make, rng, tmp_path):
    images = pictures(rng, 5, 24, 24)
    with (
        lmdb.open(str(tmp_path / "test_lmdb"), map_size=1 << 20) as store,
        store.begin(write=True) as t,
    ):
        for i, image in enumerate(images):
            t.put(f"{i:040x}".encode(), make.encoded(image, "WEBP", lossless=True))
    files = {f"test_lmdb/{f.name}": f.read_bytes() for f in (tmp_path / "test_lmdb").iterdir()}
    make.zip(mirror.folder / "test_lmdb.zip", files)
    packed = through(small("lsun_original", mirror.folder, test=5), "test", 24)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.files[3] == f"{3:040x}"
    assert not list(tmp_path.glob("data/**/data.mdb")), "the unpacked lmdb is left behind"


@pytest.mark.parametrize("mdb", [b"no lmdb", bytes(100_000)])
def test_a_damaged_lmdb_is_said(mirror, small, through, make, mdb):
    make.zip(mirror.folder / "test_lmdb.zip", {"test_lmdb/data.mdb": mdb})
    with pytest.raises(UserError, match=r"test_lmdb.zip is damaged \("):
        through(small("lsun_original", mirror.folder, test=5), "test", 24)


def places(mirror, make, images, listed):
    make.tar(
        mirror.folder / "val_256.tar",
        {f"val_256/Places365_val_{i:08d}.jpg": make.encoded(m) for i, m in enumerate(images)},
    )
    make.tar(
        mirror.folder / "filelist_places365-standard.tar",
        {
            "categories_places365.txt": b"/a/airfield 0\n/b/barn 1\n/z/zen_garden 2\n",
            "places365_val.txt": listed,
        },
    )


def test_places365(mirror, small, through, make, rng):
    images = pictures(rng, 5, 32, 32)
    labels = [2, 0, 1, 1, 2]
    lines = "".join(f"Places365_val_{i:08d}.jpg {label}\n" for i, label in enumerate(labels))
    places(mirror, make, images, lines.encode())
    packed = through(small("places365", mirror.folder, mirror.url, validation=5), "validation", 32)
    np.testing.assert_array_equal(packed.images, images)
    assert packed.labels.tolist() == labels and packed.meta["classes"][2] == "/z/zen_garden"


def test_a_seeded_part_of_places365(mirror, small, through, make, rng):
    images = pictures(rng, 20, 8, 8)
    lines = "".join(f"Places365_val_{i:08d}.jpg 0\n" for i in range(20))
    places(mirror, make, images, lines.encode())
    part = {"count": 6, "select": {"seed": 0, "stop": 6}}
    packed = through(
        small("places365_10k", mirror.folder, mirror.url, validation=part), "validation", 8
    )
    rows = [int(file[-12:-4]) for file in packed.files]
    assert rows == sorted(set(rows)) and len(rows) == 6 and rows != list(range(6))
    np.testing.assert_array_equal(packed.images, images[rows])


def test_a_list_of_places365_without_categories_is_said(mirror, small, through, make, rng):
    places(mirror, make, pictures(rng, 1, 8, 8), b"Places365_val_00000000.jpg\n")
    with pytest.raises(UserError, match=r"places365_val.txt must have an image and the number"):
        through(small("places365", mirror.folder, mirror.url, validation=1), "validation", 8)


def test_dtd_with_and_without_its_list(mirror, small, through, make, rng):
    images = pictures(rng, 4, 32, 48)
    files = {
        f"dtd/images/{c}/{c}_{i}.png": make.encoded(m)
        for i, (c, m) in enumerate(
            zip(["banded", "banded", "zigzagged", "zigzagged"], images, strict=True)
        )
    }
    files["dtd/labels/test1.txt"] = b"zigzagged/zigzagged_3.png\nbanded/banded_1.png\n"
    files["dtd/imdb/imdb.mat"] = b"not looked at"
    make.tar(mirror.folder / "dtd-r1.0.1.tar.gz", files)
    dataset = small("texture", mirror.folder, mirror.url, all=4, test=2)
    packed = through(dataset, "all", 32)
    np.testing.assert_array_equal(packed.images, images[:, :, 8:40])  # the middle
    assert packed.labels.tolist() == [0, 0, 1, 1]
    test = through(dataset, "test", 32)
    assert test.files == ["dtd/images/banded/banded_1.png", "dtd/images/zigzagged/zigzagged_3.png"]


def test_dti(mirror, small, through, rng):
    images = pictures(rng, 100, 32, 32)
    np.save(mirror.folder / "300K_random_images.npy", images)
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


def idx(folder, prefix, images, labels):
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        path = folder / f"{prefix}-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_and_fashionmnist(mirror, small, through, rng, name):
    images, labels = rng.integers(0, 256, (8, 28, 28), np.uint8), np.arange(8)
    idx(mirror.folder, "train", images, labels)
    idx(mirror.folder, "t10k", images[:3], labels[:3])
    dataset = small(name, mirror.folder, mirror.url, train=8, test=3)
    packed = through(dataset, "train", 28)
    np.testing.assert_array_equal(packed.images, np.repeat(images[..., None], 3, axis=-1))
    assert packed.labels.tolist() == list(range(8)) and len(through(dataset, "test", 28)) == 3


def test_the_halves_of_fashionmnist(mirror, small, through, rng):
    images, labels = rng.integers(0, 256, (200, 28, 28), np.uint8), rng.integers(0, 10, 200)
    for prefix in ("train", "t10k"):
        idx(mirror.folder, prefix, images, labels)
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
def test_idx_files_that_are_none_are_said(mirror, small, through, rng, what):
    images = rng.integers(0, 256, (9, 28, 28), np.uint8)
    for prefix in ("train", "t10k"):
        idx(mirror.folder, prefix, images, np.arange(8 if what == "labels of another" else 9))
    path = mirror.folder / "train-images-idx3-ubyte.gz"
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif what == "no idx":
        path.write_bytes(gzip.compress(b"something else"))
    expected = {"truncated": "truncated or damaged", "no idx": "is no IDX file"}
    with pytest.raises(UserError, match=expected.get(what, "do not belong together")):
        through(small("mnist", mirror.folder, mirror.url, train=9), "train", 28)
