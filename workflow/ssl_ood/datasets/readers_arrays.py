"""Readers of datasets that are published as arrays: CIFAR, SVHN, STL10, IDX (MNIST), npy (DTI)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.registry import register
from ssl_ood.datasets import pickles
from ssl_ood.datasets.archives import find, open_gzip, readable
from ssl_ood.datasets.arrays import open_npy
from ssl_ood.datasets.matlab import load_mat
from ssl_ood.datasets.readers import NO_LABEL, Item, Paths, Source


@register(
    "reader", "cifar", title="CIFAR", notes="CIFAR-10 and CIFAR-100: pickled batches in a tar.gz."
)
def cifar(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """CIFAR-10 and CIFAR-100: pickled batches in a tar.gz; images (N, 3072), channel by channel."""
    path, folder = paths.only, options["folder"]
    meta = "batches.meta" if folder.startswith("cifar-10-") else "meta"
    members = [f"{folder}/{name}" for name in (meta, *options["batches"])]
    content = find(path, members)
    names = _unpickle(path, members[0], content).get(options["names"])
    if not _all(names, str):
        raise UserError(f"{path}: {meta} holds no names of classes: it is not CIFAR's archive.")

    def items() -> Iterator[Item]:
        for batch in options["batches"]:
            values = _unpickle(path, f"{folder}/{batch}", content)
            data, labels = values.get("data"), values.get(options["label"])
            files = values.get("filenames") or [f"{batch}/{i}" for i in range(len(labels or ()))]
            if (
                not isinstance(data, np.ndarray)
                or not (_all(labels, int) and _all(files, str))
                or not (data.shape == (len(labels), 3072) and len(files) == len(labels))
                or data.dtype != np.uint8
            ):
                raise UserError(
                    f"{path}: {batch} holds no (N, 3072) bytes with N labels and names: it is not "
                    "CIFAR's archive."
                )
            _check_labels(path, labels, 0, len(names))
            images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            for name, label, image in zip(files, labels, images, strict=True):
                yield Item(name, label, np.ascontiguousarray(image))

    return Source(items(), list(names))


@register("reader", "svhn", title="SVHN", notes="MATLAB files of cropped digits.")
def svhn(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """SVHN: a MATLAB v5 file; X is (32, 32, 3, N), y is (N, 1) with 10 for the digit 0."""
    path = paths[options["file"]]
    content = load_mat(path, ("X", "y"))
    images, labels = content["X"], content["y"].ravel()
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
        raise UserError(f"{path} holds X of {images.dtype} {images.shape}: it is not an SVHN file.")
    _check_labels(path, labels, 1, 10)

    def items() -> Iterator[Item]:
        for i, label in enumerate(labels):
            yield Item(f"{path.name}/{i}", int(label) % 10, np.ascontiguousarray(images[..., i]))

    return Source(items(), [str(d) for d in range(10)])


@register("reader", "stl10", title="STL-10", notes="Binary files of 96 x 96 images in a tar.gz.")
def stl10(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """STL10: raw bytes in a tar.gz; (N, 3, 96, 96), columns first; labels 1 to 10."""
    path, prefix = paths.only, options["prefix"]
    files = find(path, ["class_names.txt", f"{prefix}_y.bin", f"{prefix}_X.bin"])
    names = files["class_names.txt"].decode().split()
    labels = np.frombuffer(files[f"{prefix}_y.bin"], np.uint8)
    content = files[f"{prefix}_X.bin"]
    if len(content) != len(labels) * 3 * 96 * 96:
        raise UserError(
            f"{path}: {prefix}_X.bin has {len(content):,} bytes for {len(labels):,} labels, not "
            "27,648 for each: it is not STL10's archive."
        )
    _check_labels(path, labels, 1, len(names))
    images = np.frombuffer(content, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)

    def items() -> Iterator[Item]:
        for i, label in enumerate(labels):
            yield Item(f"{prefix}/{i}", int(label) - 1, np.ascontiguousarray(images[i]))

    return Source(items(), names)


@register("reader", "idx", title="IDX", notes="The format of MNIST and FashionMNIST.")
def idx(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """MNIST and FashionMNIST: gzipped IDX files of images (N, 28, 28) and labels (N,)."""
    prefix = options["prefix"]
    image_path = paths[f"{prefix}-images-idx3-ubyte.gz"]
    label_path = paths[f"{prefix}-labels-idx1-ubyte.gz"]
    images, labels = _read_idx(image_path, 3), _read_idx(label_path, 1)
    if len(images) != len(labels):
        raise UserError(
            f"{image_path} has {len(images):,} images, {label_path} {len(labels):,} labels: they "
            "do not belong together."
        )
    classes = options.get("classes") or [str(d) for d in range(10)]
    _check_labels(label_path, labels, 0, len(classes))

    def items() -> Iterator[Item]:
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield Item(f"{prefix}/{i}", int(label), image)

    return Source(items(), classes)


@register("reader", "npy", title="npy", notes="One NumPy array of uint8 images.")
def npy(paths: Paths, options: Mapping[str, Any], scratch: Path) -> Source:
    """One .npy of (N, H, W, 3) uint8, memory-mapped; a pickled one is refused."""
    path = paths[options["file"]]
    images = open_npy(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UserError(f"{path} holds {images.dtype} {images.shape}, not (N, H, W, 3) bytes.")

    def items() -> Iterator[Item]:
        for i, image in enumerate(images):
            yield Item(f"{path.name}/{i}", NO_LABEL, np.array(image))

    return Source(items())


def _check_labels(path: Path, labels: Sequence[int] | np.ndarray, first: int, count: int) -> None:
    """Raises UserError unless the labels are whole numbers from `first` on, `count` of them."""
    wrong = [label for label in np.unique(labels) if label not in range(first, first + count)]
    if wrong:
        raise UserError(
            f"{path} has the label {wrong[0]}, where {first} to {first + count - 1} are known: it "
            "is damaged or not the archive that the catalogue means."
        )


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of an IDX file of bytes: big-endian magic 0x0000080d, d sizes, the values."""
    with readable(path), open_gzip(path) as file:
        content = file.read()
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(f"{path} is not an IDX file of {dimensions}-dimensional bytes.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise UserError(
            f"{path} is truncated: {len(content) - start:,} bytes for the shape {shape}: remove it "
            "and fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _all(values: Any, kind: type) -> bool:
    """Whether it is a list of such values."""
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _unpickle(path: Path, member: str, content: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        value = pickles.load(content[member])
    except pickles.Unreadable as error:
        raise UserError(f"{path}: {member} is not a batch of CIFAR's ({reason(error)}).") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: {member} is not a batch of CIFAR's (a {type(value).__name__}).")
    return value
