"""Arrays with forged headers: npy, CIFAR's pickles, MATLAB, IDX, lmdb."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest
from scipy.io import savemat
from support.bounded import bounded

from ssl_ood.common.errors import UserError
from ssl_ood.datasets import pickles
from ssl_ood.datasets.archives import Damaged, read
from ssl_ood.datasets.arrays import open_npy
from ssl_ood.datasets.lmdb_file import entries
from ssl_ood.datasets.matlab import load_mat

# ---- npy


def npy(path: Path, header: str, content: bytes = b"", version: int = 1) -> Path:
    text = header.encode("latin-1")
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + size + text + content)
    return path


def described(kind: str = "'|u1'", shape: str = "(2, 3)", order: str = "False") -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize("kind", ["u1", "<i4", ">f8", "?", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 4, 2), (5,), (), (0, 3)])
def test_what_numpy_writes_is_read(tmp_path, rng, kind, order, shape):
    values = np.asarray(rng.integers(0, 2, shape), kind, order=order)
    np.save(tmp_path / "a.npy", values)
    found = open_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_headers_as_other_programs_write_them(tmp_path):
    for header in (
        "{'shape':(2,3),'fortran_order':False,'descr':'|u1'}",
        described().replace("'", '"'),
    ):
        for version in (1, 2, 3):
            path = npy(tmp_path / "a.npy", header, b"abcdef", version)
            assert open_npy(path).tobytes() == b"abcdef"


@pytest.mark.parametrize(
    "header",
    [
        described("'|O'"), described("'|V2147483647'"), described("[('a', '|u1')]"),
        described("'|u1'", "(-2, -3)"), described("'|u1'", "(4611686018427387904, 4)"),
        described("'|u1'", "(1e3,)"), described("'|u1'", "(True, 6)"), described("'|u1'", "(7,)"),
        described("'|u1'", "(5,)"), described("'<u8'"), described("'|u1'", "(" + "1, " * 40 + "6)"),
        "(" * 5000, "-" * 60000 + "1", "{}", "", "{'descr': '|u1'}", described() + "x",
        described().replace("'shape'", "'shape': (6,), 'shape'")[:-3] + ", 'more': 1}",
        described("'|u1'", "(" + "9" * 5000 + ",)"), "__import__('os')", "\0" * 100,
    ],
)  # fmt: skip
def test_forged_headers(tmp_path, header):
    path = npy(tmp_path / "a.npy", header, b"abcdef")
    with pytest.raises(UserError, match="is truncated or no array of numbers"):
        open_npy(path)


def test_what_is_no_npy(tmp_path, rng):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    contents = [
        b"",
        b"\x93NUM",
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"<html>",
    ]
    for content in [path.read_bytes(), pickle.dumps([1]), *contents]:
        path.write_bytes(content)
        with pytest.raises(UserError, match="is truncated or no array of numbers"):
            open_npy(path)
    with pytest.raises(UserError, match="no longer there"):
        open_npy(tmp_path / "lost.npy")


# ---- CIFAR's pickles


class Calls:
    def __init__(self, function, *arguments) -> None:
        self.how = function, arguments

    def __reduce__(self):
        return self.how


def rebuilt(kind: bytes, state: bytes, shape: bytes, content: bytes) -> bytes:
    """An array of a pickle that NumPy never wrote."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n" + kind + b"K\0K\x01\x87R" + state + b"\x89"
        + b"T" + struct.pack("<i", len(content)) + content + b"tb."
    )  # fmt: skip


KIND, STATE = b"U\x02u1", b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
SHAPE = b"K\x02K\x03\x86"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_pickles_of_every_protocol(rng, protocol):
    value = {
        "data": rng.integers(0, 256, (2, 6), np.uint8), "labels": [0, 255, 70_000],
        "names": ["a", "ä"], "numbers": [np.int64(3), np.float32(0.5)],
        "turned": np.asfortranarray(rng.normal(size=(2, 3))),
        "more": (None, True, 1.5, b"\xff", {}),
    }  # fmt: skip
    found = pickles.load(pickle.dumps(value, protocol))
    for key in ("data", "turned"):
        np.testing.assert_array_equal(found.pop(key), value.pop(key))
    assert found == value


def test_a_pickle_as_python_2_wrote_it():
    found = pickles.load(rebuilt(KIND, STATE, SHAPE, b"abcdef"))
    assert found.shape == (2, 3) and found.tobytes() == b"abcdef"


@pytest.mark.parametrize(
    "content",
    [
        rebuilt(b"U\x02O8", STATE, SHAPE, b"abcdef"),
        rebuilt(b"U\x02V8", STATE, SHAPE, b"abcdef"),
        rebuilt(b"U\x0bV2147483647", STATE, SHAPE, b"abcdef"),
        rebuilt(b"U\x02u8", STATE, SHAPE, b"abcdef"),
        rebuilt(KIND, STATE.replace(b"U\x01|", b"U\x01O"), SHAPE, b"abcdef"),
        rebuilt(KIND, b"(K\x03U\x01|" + b"(" * 3 + b"tttNNK\0tb", SHAPE, b"abcdef"),
        rebuilt(KIND, STATE, b"J\xff\xff\xff\xffJ\xfa\xff\xff\xff\x86", b"abcdef"),
        rebuilt(KIND, STATE, b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"abcdef"),
        rebuilt(KIND, STATE, b"]", b""),
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R.",
        b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
        b"\x80\x02cnumpy.testing\nmeasure\nU\x01x\x85R.",
        b"\x80\x02c_codecs\ndecode\nU\x01x\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0xU\x03rot\x86R.",
        b"\x80\x02cbuiltins\neval\nU\x01x\x85R.",
        b"\x80\x02U\x01xU\x01x\x85R.", b"\x80\x02K\x01}b.", b"\x80\x02]K\x01}b.",
        b"\x80\x02P1\n.", b"\x80\x02Q.", b"\x80\x02\x82\x01.", b"\x80\x02ctypes\nCodeType\n)\x81.",
        b"}((tK\x01u.", b"}]K\x01s.", b"K\x01K\x02s.", b"u.", b"t.", b"h\x05.", b".", b"", b"\x80",
        b"T\xff\xff\xff\x7fabc.", b"\x8d" + b"\xff" * 8 + b"abc.", b"\x8b\xff\xff\xff\x7f.",
        b"I" + b"9" * 10_000 + b"\n.", b"\xff" * 100, b"<html>",
    ],
)  # fmt: skip
def test_forged_pickles(content):
    outcome = bounded(lambda: _refused(content), seconds=10)
    assert outcome.ended is None and outcome.peak < 30
    assert (
        outcome.value is None or outcome.value.startswith(("it ", "its ")) or ": " in outcome.value
    )


def _refused(content: bytes) -> str | None:
    try:
        value = pickles.load(content)
    except pickles.Unreadable as error:
        return str(error)
    assert value is None or isinstance(value, str | int | dict | list), value
    return None


@pytest.mark.parametrize("kind", ["list", "tuple", "key", "memo", "deep"])
def test_pickles_that_are_small_and_without_measure(kind):
    twice = b"h\0h\0\x86q\0"  # a pair of what is remembered, remembered in its place
    content = {
        "list": b"]q\0" + b"](h\0h\0eq\0" * 200, "tuple": b")q\0" + twice * 200,
        "key": b"})q\0" + twice * 200 + b"K\1s", "memo": b"Nr\xff\xff\xff\x7f",
        "deep": b"]" * 100_000 + b"a" * 99_999,
    }[kind]  # fmt: skip
    content = b"\x80\x02" + content + b"."
    outcome = bounded(lambda: _small(content), seconds=10)
    assert outcome.ended is None and outcome.peak < 60


def _small(content: bytes) -> None:
    try:
        pickles.load(content)
    except pickles.Unreadable:
        return


# ---- MATLAB


def mat(path: Path, **arrays: np.ndarray) -> Path:
    savemat(path, arrays, do_compression=True)
    return path


def element(kind: int, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return struct.pack("<II", kind, size) + content + bytes(-len(content) % 8)


def variable(name: bytes, shape: tuple[int, ...], content: bytes, size: int | None = None) -> bytes:
    parts = element(6, struct.pack("<II", 9, 0)) + element(
        5, struct.pack(f"<{len(shape)}i", *shape)
    )
    return parts + element(1, name) + element(2, content, size)


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "f4", "f8", "i8"])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_scipy_writes_is_read(tmp_path, rng, kind, compressed):
    values = {"X": rng.integers(0, 100, (2, 3, 4)).astype(kind), "y": np.array([[1.0], [10.0]])}
    savemat(tmp_path / "a.mat", values | {"text": "abc"}, do_compression=compressed)
    found = load_mat(tmp_path / "a.mat", ("X", "y"))
    for name in ("X", "y"):
        np.testing.assert_array_equal(found[name], values[name])
        assert found[name].dtype == values[name].dtype


@pytest.mark.parametrize("what", ["swells", "declares", "shape", "inner", "tail", "cut", "adler"])
def test_forged_mat_files(tmp_path, what):
    good = element(14, variable(b"X", (2, 3), b"abcdef"))
    content = {
        "swells": zlib.compress(element(14, b"", 200 << 20) + bytes(200 << 20), 9),
        "declares": zlib.compress(element(14, variable(b"X", (2, 3), b"abcdef"), 0xFFFFFFF0)),
        "shape": zlib.compress(element(14, variable(b"X", (1 << 30, 1 << 30), b"abcdef"))),
        "inner": zlib.compress(element(14, variable(b"X", (2, 3), b"abcdef", 0xFFFFFFF0))),
        "tail": zlib.compress(good) + b"more", "cut": zlib.compress(good)[:-6],
        "adler": zlib.compress(good)[:-1] + b"x",
    }[what]  # fmt: skip
    path = mat(tmp_path / "a.mat", y=np.ones((2, 1)))
    path.write_bytes(path.read_bytes() + struct.pack("<II", 15, len(content)) + content)

    def reads() -> None:
        with pytest.raises(UserError, match=r"a.mat (is truncated or no SVHN|.*bomb)"):
            load_mat(path, ("X", "y"))

    outcome = bounded(reads)
    assert outcome.ended is None and outcome.peak < 30


def test_mat_files_of_other_kinds(tmp_path):
    path = mat(tmp_path / "a.mat", X=np.array(["a", "b"], object), y=np.ones((2, 1)))
    with pytest.raises(UserError, match="X is not an array of numbers"):
        load_mat(path, ("X", "y"))
    with pytest.raises(UserError, match="holds no array Z"):
        load_mat(path, ("y", "Z"))
    new = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(384) + b"\x89HDF"
    for content in (new, b"", b"MATLAB", bytes(1000), b"<!DOCTYPE html>" * 20):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is truncated or no SVHN file"):
            load_mat(path, ("X",))


# ---- lmdb


def store(folder: Path, values: dict[bytes, bytes], **options: object) -> Path:
    with lmdb.open(str(folder), map_size=1 << 24, **options) as made:
        for key, value in values.items():  # a transaction each: pages are left and taken again
            with made.begin(write=True) as writing:
                writing.put(key, value)
    return folder / "data.mdb"


@pytest.mark.parametrize("count", [0, 1, 300])
def test_what_lmdb_writes_is_read(tmp_path, rng, count):
    values = {b"%040x" % i: rng.bytes([10, 900, 9000][i % 3]) for i in range(count)}
    path = store(tmp_path / "l", values)
    assert {key: read(place) for key, place in entries(path)} == values


def test_an_lmdb_that_is_cut_short(tmp_path, rng):
    path = store(tmp_path / "l", {b"%d" % i: rng.bytes(9000) for i in range(20)})
    content = path.read_bytes()
    for size in (0, 100, 4096, 8192, len(content) // 2, len(content) - 5000):
        path.write_bytes(content[:size])
        with pytest.raises(Damaged):
            list(entries(path))


def test_an_lmdb_whose_pages_point_in_circles(tmp_path, rng):
    path = store(tmp_path / "l", {b"%040x" % i: rng.bytes(500) for i in range(100)})
    content = bytearray(path.read_bytes())
    for offset in range(8192, len(content), 4096):
        if content[offset + 10] == 1:  # a branch: its first child is itself
            (place,) = struct.unpack_from("<H", content, offset + 16)
            content[offset + place : offset + place + 2] = struct.pack("<H", offset // 4096)
    path.write_bytes(content)
    with pytest.raises(Damaged, match="is its own child"):
        list(entries(path))


def test_an_lmdb_of_several_tables(tmp_path):
    with lmdb.open(str(tmp_path / "l"), max_dbs=2) as made:
        table = made.open_db(b"a", dupsort=True)
        with made.begin(write=True, db=table) as writing:
            writing.put(b"k", b"v")
    with pytest.raises(Damaged, match="has a damaged entry"):
        list(entries(tmp_path / "l" / "data.mdb"))


def test_an_idx_file_that_declares_more_than_it_has(tmp_path):
    import gzip

    from ssl_ood.datasets.readers_arrays import _read_idx

    path = tmp_path / "a.gz"
    for shape in ((1 << 31, 1 << 31, 4), (2, 3, 4), (0xFFFFFFFF,) * 3):
        path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", *shape) + b"abc"))
        with pytest.raises(UserError, match=r"is truncated: 3 bytes for the shape"):
            _read_idx(path, 3)
    stream = io.BytesIO(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 1, 1, 3) + b"abc"))
    path.write_bytes(stream.getvalue()[:-4])
    with pytest.raises(UserError, match="is truncated or damaged"):
        _read_idx(path, 3)
