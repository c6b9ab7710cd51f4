"""Small files of every format that is read, damaged at random, and what reading them comes to."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import signal
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image
from scipy.io import savemat

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import from_dict
from ssl_ood.datasets.decode import Undecodable, to_square
from ssl_ood.datasets.readers import open_split
from support.situations import encoded, noise, tarred, zipped

LONGEST = 10.0  # seconds that one file may take
PEAK = 450.0  # MiB: four bytes of each of the pixels that a picture may declare, and some
FULL = "more memory than there is"


@dataclass(frozen=True)
class Kind:
    """A format. whole: the bytes of a good file.

    archive: how such bytes become the archives in a folder that the reader reads; without a reader
    they are one encoded image. proven: what is read must be the original, since the format has
    checksums or an end.
    """

    whole: Callable[[np.random.Generator], bytes]
    reader: str | None = None
    archive: Callable[[Path, bytes], object] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    proven: bool = False


@dataclass
class Tally:
    """What came of many damaged files."""

    kind: str
    tried: int = 0
    sentences: int = 0
    taken: int = 0
    faults: list[str] = field(default_factory=list)


def damage(rng: np.random.Generator, content: bytes) -> bytes:
    """The bytes with one to three faults, half of them near the beginning or the end."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        size = len(damaged)
        if not size:
            break
        near = int(rng.choice([size, min(size, 512), -min(size, 512)]))
        at = int(rng.integers(near)) if near > 0 else size - 1 - int(rng.integers(-near))
        kind = rng.integers(8)
        if kind <= 1:
            damaged[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            damaged[at] = int(rng.integers(256))
        elif kind == 3:
            del damaged[at:]
        elif kind == 4:
            del damaged[at : at + int(rng.integers(1, 200))]
        elif kind == 5:
            damaged[at:at] = rng.bytes(int(rng.integers(1, 200)))
        elif kind == 6:
            width, value = int(rng.choice([2, 4, 8])), int(rng.choice([0, 1, -1, -2]))
            extreme = (value % (1 << 8 * width) >> int(rng.integers(2))).to_bytes(width, "little")
            damaged[at : at + width] = extreme[:: int(rng.choice([1, -1]))]
        else:
            start = int(rng.integers(size))
            piece = damaged[start : start + int(rng.integers(1, 1000))]
            damaged[at : at + len(piece)] = piece
    return bytes(damaged)


def fuzz(name: str, count: int, seed: int = 0) -> Tally:
    """Reads so many damaged files of a kind."""
    kind, tally = KINDS[name], Tally(name)
    rng = np.random.default_rng([seed, *name.encode()])
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory() as folder:
        whole = kind.whole(rng)
        original = _read(kind, whole, Path(folder))
        for number in range(count):
            content = damage(rng, whole)
            tally.tried += 1
            try:
                signal.setitimer(signal.ITIMER_REAL, LONGEST)
                found = _read(kind, content, Path(folder))
            except (UserError, Undecodable) as error:
                text = str(error)
                if "\n" in text or not text or FULL in text:
                    tally.faults.append(f"{number}: said {text!r}")
                tally.sentences += 1
            except BaseException as error:
                tally.faults.append(f"{number}: {type(error).__name__}: {error}")
            else:
                tally.taken += 1
                if kind.proven and found != original:
                    tally.faults.append(f"{number}: taken for whole")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    return tally


class Hang(BaseException):
    """A file takes too long; no `except Exception` stops it."""


def _hang(*_: object) -> None:
    raise Hang(f"took longer than {LONGEST:.0f} s")


def _read(kind: Kind, content: bytes, folder: Path) -> str:
    """A digest of all images, as packing reads them. Raises UserError, Undecodable."""
    if kind.reader is None:
        return hashlib.sha256(to_square(content, 16).tobytes()).hexdigest()
    kind.archive(folder, content)
    files = [path for path in folder.iterdir() if path.is_file()]
    entry = {
        "title": "Toy", "kind": "natural", "access": "free", "reader": kind.reader,
        "options": kind.options, "archives": [{"file": path.name} for path in files],
        "splits": {"train": {"count": None}},
    }  # fmt: skip
    manifest = {"archives": [{"file": path.name, "path": str(path)} for path in files]}
    digest, images = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for item in open_split(from_dict("toy", entry), "train", manifest, Path(scratch)).items:
            digest.update(f"{item.name} {item.label} ".encode("utf-8", "surrogateescape"))
            digest.update(to_square(item.data, 16).tobytes())
            images += 1
    if not images:
        raise UserError("There is no image, which packing says, too.")
    return digest.hexdigest()


# ---- good files


def _pictures(rng: np.random.Generator) -> dict[str, bytes]:
    return {f"x/{c}/{i}.png": encoded(noise(rng, 8)) for c in "ab" for i in range(2)}


def _zip(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for i, (name, content) in enumerate(_pictures(rng).items()):
            archive.writestr(name, content, (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)[i % 2])
    return stream.getvalue()


def _tar(rng: np.random.Generator, long_name: bool = False) -> bytes:
    files = _pictures(rng)
    if long_name:  # it lies in a member of its own, of which the format has no checksum
        files |= {f"x/a/{'long' * 30}.png": encoded(noise(rng, 8))}
    with tempfile.TemporaryDirectory() as folder:
        return tarred(Path(folder, "a.tar"), files).read_bytes()


def _npy(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rng.integers(0, 256, (4, 8, 8, 3), np.uint8))
    return stream.getvalue()


def _mat(compressed: bool) -> Callable[[np.random.Generator], bytes]:
    def whole(rng: np.random.Generator) -> bytes:
        stream = io.BytesIO()
        images = rng.integers(0, 256, (32, 32, 3, 2), np.uint8)
        content = {"X": images, "y": np.array([[1.0], [10.0]])}
        savemat(stream, content, do_compression=compressed)
        return stream.getvalue()

    return whole


def _pickle(rng: np.random.Generator) -> bytes:
    data = rng.integers(0, 256, (2, 3072), np.uint8)
    return pickle.dumps({"data": data, "labels": [0, 1], "filenames": ["a", "b"]}, 2)


def _cifar(folder: Path, content: bytes) -> None:
    names = pickle.dumps({"label_names": ["x", "y"]}, 2)
    files = {"cifar-10-x/batches.meta": names, "cifar-10-x/batch": content}
    tarred(folder / "cifar.tar.gz", files, "w:gz", compresslevel=1)


def _idx(rng: np.random.Generator) -> bytes:
    return struct.pack(">4BIII", 0, 0, 8, 3, 2, 8, 8) + rng.bytes(128)


def _mnist(folder: Path, content: bytes) -> None:
    labels = struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([1, 2])
    (folder / "x-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (folder / "x-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def _lmdb(rng: np.random.Generator) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 20) as store, store.begin(write=True) as writing:
            for i in range(40):
                side = 64 if i % 9 == 0 else 8  # a few lie on overflow pages
                writing.put(f"{i:040x}".encode(), encoded(noise(rng, side), "WEBP"))
        return Path(folder, "data.mdb").read_bytes()


def _image(form: str, **options: Any) -> Callable[[np.random.Generator], bytes]:
    def whole(rng: np.random.Generator) -> bytes:
        return encoded(
            Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)), form, **options
        )

    return whole


def _dicom(deflated: bool) -> Callable[[np.random.Generator], bytes]:
    def whole(rng: np.random.Generator) -> bytes:
        return dicom(noise(rng), deflated=deflated)

    return whole


def dicom(pixels: np.ndarray, deflated: bool = False, **changes: Any) -> bytes:
    """A radiograph of (H, W) uint8; changes: elements by their keyword."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

    record = Dataset()
    record.file_meta = FileMetaDataset()
    record.file_meta.TransferSyntaxUID = (
        DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    )
    record.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    record.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["x"])
    record.Rows, record.Columns = pixels.shape
    record.SamplesPerPixel, record.PhotometricInterpretation = 1, "MONOCHROME2"
    record.BitsAllocated = record.BitsStored = 8
    record.HighBit, record.PixelRepresentation = 7, 0
    record.PixelData = pixels.tobytes()
    for keyword, value in changes.items():
        setattr(record, keyword, value)
    stream = io.BytesIO()
    record.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _into(name: str) -> Callable[[Path, bytes], object]:
    return lambda folder, content: (folder / name).write_bytes(content)


KINDS = {
    "zip": Kind(_zip, "image_folders", _into("a.zip"), proven=True),
    "tar": Kind(_tar, "image_folders", _into("a.tar"), proven=True),
    "tar, long names": Kind(lambda rng: _tar(rng, True), "image_folders", _into("a.tar")),
    "tar.gz": Kind(
        lambda rng: gzip.compress(_tar(rng, True), 1), "image_folders", _into("a.tar.gz"),
        proven=True,
    ),
    "npy": Kind(_npy, "npy", _into("a.npy"), {"file": "a.npy"}),
    "mat": Kind(_mat(False), "svhn", _into("a.mat"), {"file": "a.mat"}),
    "mat, deflated": Kind(_mat(True), "svhn", _into("a.mat"), {"file": "a.mat"}, proven=True),
    "pickle of CIFAR": Kind(
        _pickle, "cifar", _cifar,
        {"folder": "cifar-10-x", "batches": ["batch"], "label": "labels", "names": "label_names"},
    ),
    "idx": Kind(_idx, "idx", _mnist, {"prefix": "x"}),
    "lmdb": Kind(
        _lmdb, "lsun_lmdb",
        lambda folder, content: zipped(folder / "a.zip", {"x/data.mdb": content}),
    ),
    "dicom": Kind(_dicom(False)),
    "dicom, deflated": Kind(_dicom(True)),
    "png": Kind(_image("PNG")),
    "jpeg": Kind(_image("JPEG", quality=90)),
    "tiff": Kind(_image("TIFF")),
    "tiff, deflated": Kind(_image("TIFF", compression="tiff_adobe_deflate")),
    "webp": Kind(_image("WEBP")),
    "bmp": Kind(_image("BMP")),
    "gif": Kind(_image("GIF")),
}  # fmt: skip
