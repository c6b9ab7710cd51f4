"""Writes small archives as the authors of the datasets publish them: names, layout and encoding.

Images are (N, H, W, 3) uint8, or lists of (H, W, 3); labels are as the files have them. `encode`
makes the bytes of an image file; its default loses nothing.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image
from scipy.io import savemat

Encode = Callable[[np.ndarray], bytes]


# ---- images and archives of any kind -------------------------------------------------------------


def encoded(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """An image file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """A JPEG that is nearly the image."""
    return encoded(image, "JPEG", quality=95)


def decoded(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 of an image file."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def tar(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """A tar, or a tar.gz by its name; links: name to target."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        _add(archive, files)
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def tar_bytes(files: Mapping[str, bytes]) -> bytes:
    """A tar to put into another."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        _add(archive, files)
    return stream.getvalue()


def _add(archive: tarfile.TarFile, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def zipped(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """A zip; links: name to target."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
    return path


# ---- datasets ------------------------------------------------------------------------------------


def cifar10(
    folder: Path,
    train: tuple[np.ndarray, Sequence[int]],
    test: tuple[np.ndarray, Sequence[int]],
    protocol: int = 2,
) -> None:
    """Five training batches and a test batch, pickled; the images are called 0.png, 1.png, ..."""
    images, labels = np.concatenate([train[0], test[0]]), [*train[1], *test[1]]
    inside = "cifar-10-batches-py"
    parts = [*np.array_split(np.arange(len(train[0])), 5), np.arange(len(train[0]), len(images))]
    files = {f"{inside}/batches.meta": pickle.dumps({"label_names": list("0123456789")})}
    for i, rows in enumerate(parts):
        name = f"data_batch_{i + 1}" if i < 5 else "test_batch"
        names = [f"{row}.png" for row in rows]
        own = [int(labels[row]) for row in rows]
        content = cifar_batch(images[rows], "labels", own, protocol, filenames=names)
        files[f"{inside}/{name}"] = content
    tar(folder / "cifar-10-python.tar.gz", files)


def cifar100(
    folder: Path,
    train: tuple[np.ndarray, Sequence[int]],
    test: tuple[np.ndarray, Sequence[int]],
) -> None:
    """A training and a test batch with fine labels, and coarse ones that nobody needs."""
    names = [f"class {i}" for i in range(100)]
    meta = {"fine_label_names": names, "coarse_label_names": []}
    files = {"cifar-100-python/meta": pickle.dumps(meta)}
    for batch, (images, fine) in (("train", train), ("test", test)):
        files[f"cifar-100-python/{batch}"] = cifar_batch(
            images, "fine_labels", list(map(int, fine)), 2, coarse_labels=[1] * len(fine)
        )
    tar(folder / "cifar-100-python.tar.gz", files)


def cifar_batch(
    images: np.ndarray, label_key: str, labels: list[int], protocol: int, **more: object
) -> bytes:
    """A batch as CIFAR's authors pickled it: rows of 3072 bytes, red plane first."""
    data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    content = {label_key: labels, "data": data, "batch_label": "test", **more}
    return pickle.dumps(content, protocol=protocol)


def svhn(folder: Path, images: np.ndarray, labels: Sequence[int]) -> Path:
    """The test set; labels 1 to 10, which stands for the digit 0."""
    content = {"X": images.transpose(1, 2, 3, 0), "y": np.asarray(labels, np.uint8)[:, None]}
    path = folder / "test_32x32.mat"
    savemat(path, content, do_compression=True)
    return path


def stl10(folder: Path, images: np.ndarray, labels: Sequence[int]) -> None:
    """The test set of (N, 96, 96, 3), columns first; labels 1 to 10."""
    files = {
        "class_names.txt": b"\n".join(b"a b c d e f g h i truck".split()),
        "unlabeled_X.bin": b"not looked at",
        "test_X.bin": images.transpose(0, 3, 2, 1).tobytes(),
        "test_y.bin": np.asarray(labels, np.uint8).tobytes(),
    }
    tar(folder / "stl10_binary.tar.gz", {f"stl10_binary/{n}": c for n, c in files.items()})


def tinyimagenet(
    folder: Path, images: np.ndarray, labels: Sequence[int], encode: Encode = encoded
) -> None:
    """The validation images; labels are places in wnids.txt, which is in no order of names."""
    root, wnids = "tiny-imagenet-200", [f"n{90 - i:02d}" for i in range(max(labels) + 1)]
    table = "".join(
        f"val_{i}.JPEG\t{wnids[label]}\t0\t0\t63\t63\n" for i, label in enumerate(labels)
    )
    content = [encode(image) for image in images]
    files = {
        f"{root}/wnids.txt": "".join(f"{wnid}\n" for wnid in wnids).encode(),
        f"{root}/train/{wnids[0]}/images/{wnids[0]}_0.JPEG": content[0],
        f"{root}/val/val_annotations.txt": table.encode(),
    }
    files |= {f"{root}/val/images/val_{i}.JPEG": image for i, image in enumerate(content)}
    zipped(folder / "tiny-imagenet-200.zip", files)


def imagenet(
    folder: Path, synsets: Mapping[str, Sequence[np.ndarray]], encode: Encode = encoded
) -> None:
    """The training images: a tar with a tar of each synset."""
    inner = {
        f"{synset}.tar": tar_bytes(
            {f"{synset}_{i}.JPEG": encode(image) for i, image in enumerate(images)}
        )
        for synset, images in synsets.items()
    }
    tar(folder / "ILSVRC2012_img_train.tar", inner)


def imagenet_val(folder: Path, images: Sequence[np.ndarray], encode: Encode = encoded) -> None:
    """The validation images: a tar of files, whose labels are elsewhere."""
    files = {f"ILSVRC2012_val_{i + 1:08d}.JPEG": encode(image) for i, image in enumerate(images)}
    tar(folder / "ILSVRC2012_img_val.tar", files)


def imagenet30(
    folder: Path, images: Sequence[np.ndarray], classes: Sequence[str], encode: Encode = encoded
) -> None:
    """A folder of each class, twice, and what macOS leaves."""
    files = {
        f"one_class_test/{name}/{name}/{i}.JPEG": encode(image)
        for i, (name, image) in enumerate(zip(classes, images, strict=True))
    }
    files[f"one_class_test/{classes[0]}/._0.JPEG"] = b"what macOS leaves"
    tar(folder / "one_class_test.tar", files)


def odin(folder: Path, root: str, images: Sequence[np.ndarray]) -> None:
    """One of the sets that ODIN's authors resized: LSUN_resize, Imagenet_resize."""
    files = {f"{root}/{root}/{i}.png": encoded(image) for i, image in enumerate(images)}
    tar(folder / f"{root}.tar.gz", files)


def lsun(folder: Path, images: Sequence[np.ndarray], encode: Encode = encoded) -> None:
    """The test set of the authors' downloader: a zipped lmdb; keys of 40 hexadecimal digits."""
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch, "test_lmdb")
        with lmdb.open(str(store), map_size=1 << 24) as database, database.begin(write=True) as t:
            for i, image in enumerate(images):
                t.put(f"{i:040x}".encode(), encode(image))
        files = {f"test_lmdb/{f.name}": f.read_bytes() for f in store.iterdir()}
    zipped(folder / "test_lmdb.zip", files)


def places365(
    folder: Path, images: Sequence[np.ndarray], labels: Sequence[int], encode: Encode = encoded
) -> None:
    """The validation images; labels 0 to 2."""
    names = [f"Places365_val_{i:08d}.jpg" for i in range(len(images))]
    listed = "".join(f"{name} {label}\n" for name, label in zip(names, labels, strict=True))
    content = {f"val_256/{n}": encode(image) for n, image in zip(names, images, strict=True)}
    tar(folder / "val_256.tar", content)
    places365_lists(folder, listed.encode())


def places365_lists(folder: Path, listed: bytes) -> None:
    """The tar of file lists: three categories, and this list of the validation images."""
    files = {
        "categories_places365.txt": b"/a/airfield 0\n/b/barn 1\n/z/zen_garden 2\n",
        "places365_val.txt": listed,
    }
    tar(folder / "filelist_places365-standard.tar", files)


def dtd(
    folder: Path,
    images: Sequence[np.ndarray],
    classes: Sequence[str],
    test1: Sequence[int] = (),
    encode: Encode = encoded,
) -> None:
    """Folders of textures; test1: the images of the first test list."""
    names = [f"{name}/{name}_{i}.jpg" for i, name in enumerate(classes)]
    files = {f"dtd/images/{n}": encode(image) for n, image in zip(names, images, strict=True)}
    files["dtd/labels/test1.txt"] = "".join(f"{names[i]}\n" for i in test1).encode()
    files["dtd/imdb/imdb.mat"] = b"not looked at"
    tar(folder / "dtd-r1.0.1.tar.gz", files)


def dti(folder: Path, images: np.ndarray) -> Path:
    """One array of all images."""
    path = folder / "300K_random_images.npy"
    np.save(path, images)
    return path


def idx(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray) -> None:
    """MNIST's files: images (N, 28, 28) and labels (N,), gzipped."""
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        path = folder / f"{prefix}-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


# ---- pre-trained weights -------------------------------------------------------------------------


def torchvision_weights(
    path: Path, state: Mapping[str, object] | None = None, legacy: bool = False
) -> Path:
    """A classifier's tensors by name; by default those of a ResNet-18 with random weights."""
    import torch

    torch.save(dict(state or resnet18()), path, _use_new_zipfile_serialization=not legacy)
    return path


def moco_weights(
    path: Path, state: Mapping[str, object] | None = None, legacy: bool = True
) -> Path:
    """A checkpoint of MoCo's authors: `state` is of the query encoder, its head `fc` aside."""
    import torch

    state = dict(state or resnet18())
    backbone = {key: value for key, value in state.items() if not key.startswith("fc.")}
    width = state["fc.weight"].shape[1]
    head = {"fc.0.weight": (width, width), "fc.0.bias": (width,), "fc.2.weight": (128, width)}
    query = backbone | {key: torch.randn(shape) for key, shape in head.items()}
    tensors = {f"module.encoder_q.{key}": value for key, value in query.items()}
    tensors |= {f"module.encoder_k.{key}": value * 0 for key, value in query.items()}
    tensors |= {"module.queue": torch.randn(128, 64), "module.queue_ptr": torch.zeros(1).long()}
    optimizer = torch.optim.SGD([torch.nn.Parameter(query["fc.0.bias"])], 0.03, momentum=0.9)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(width)
    optimizer.step()
    content = {"epoch": 800, "arch": "resnet50", "state_dict": tensors}
    content["optimizer"] = optimizer.state_dict()
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def resnet18() -> dict[str, object]:
    """The tensors of torchvision's ResNet-18, random but the same in every call."""
    import torch
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.resnet18().state_dict()
