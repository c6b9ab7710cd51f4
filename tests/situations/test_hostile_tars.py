"""Tars that swell, break off, are put together or sparse: refused, in little memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest
from support.bounded import bounded
from support.situations import tarred

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import find, members, read, tar_of_tars

FILES = {f"x/{i}.bin": bytes([i]) * 600 for i in range(4)}
KINDS = ["a.tar", "a.tar.gz"]


def stored(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def all_of(path: Path) -> dict[str, bytes]:
    return {m.name: read(m.data) for m in members(path)}


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.fixture
def content(tmp_path) -> bytes:
    return tarred(tmp_path / "whole.tar", FILES).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form",
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT],
    ids=["ustar", "gnu", "pax"],
)
def test_tars_of_every_form_with_long_and_foreign_names(tmp_path, kind, form):
    files = FILES | {"x/ä" + "/langer_ordner" * 8 + "/0.bin": b"long"}
    path = tarred(tmp_path / kind, files, "w:gz" if kind.endswith("gz") else "w", format=form)
    assert all_of(path) == files


@pytest.mark.parametrize("header_kind", [b"L", b"K", b"x", b"g"])
def test_a_name_or_link_of_100_mb(tmp_path, header_kind):
    size = 100 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(header(header_kind, size))]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(100)]
    parts += [packer.compress(header(tarfile.SYMTYPE, 0) + bytes(1024)), packer.flush()]
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"".join(parts))

    def reads() -> None:
        with pytest.raises(UserError, match="longer than a path can be"):
            all_of(path)

    outcome = bounded(reads)
    assert outcome.ended is None and outcome.peak < 30 and outcome.seconds < 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_longer_than_a_path_can_be(tmp_path, kind):
    with tarfile.open(tmp_path / "link.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("x/link")
        info.type, info.linkname = tarfile.SYMTYPE, "y" * 5000
        archive.addfile(info)
    path = stored(tmp_path / kind, (tmp_path / "link.tar").read_bytes())
    with pytest.raises(UserError, match=r"a link 'x/link' whose target of 5,000 characters"):
        all_of(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_end_of_a_tar_may_have_one_block_or_more(tmp_path, kind, content, blocks):
    assert (
        all_of(stored(tmp_path / kind, content.rstrip(b"\0") + bytes(512 * blocks + 424))) == FILES
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", ["at a header", "in a header", "in a file"])
def test_a_tar_without_its_end(tmp_path, kind, content, cut):
    size = {"at a header": 4 * 1536, "in a header": 3 * 1536 + 100, "in a file": 1536 + 600}[cut]
    with pytest.raises(UserError, match=r"is truncated or damaged \((the block that ends|unexp)"):
        all_of(stored(tmp_path / kind, content[:size]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path, kind, content):
    damaged = bytearray(content)
    damaged[2 * 1536 + 5] ^= 1
    with pytest.raises(UserError, match=r"bad checksum, at or behind 'x/1.bin'"):
        all_of(stored(tmp_path / kind, damaged))


@pytest.mark.parametrize("kind", KINDS)
def test_tars_put_together(tmp_path, kind, content):
    with pytest.raises(UserError, match="something follows its end"):
        all_of(stored(tmp_path / kind, content + content))


def test_gzips_put_together_are_one_stream(tmp_path, content):
    half = 2 * 1536
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    assert all_of(path) == FILES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["old", "pax", "volume"])
def test_sparse_files_and_further_volumes(tmp_path, kind, how):
    pax = b"25 GNU.sparse.realsize=9\n"
    content = {
        "old": header(tarfile.GNUTYPE_SPARSE, 512) + bytes(512),
        "pax": header(tarfile.XHDTYPE, len(pax)) + pax.ljust(512, b"\0") + header(b"0", 0),
        "volume": header(b"M", 512) + bytes(512),
    }[how]
    with pytest.raises(UserError, match="sparse"):
        all_of(stored(tmp_path / kind, content + bytes(1024)))


@pytest.mark.parametrize(
    "record", [b"x path=a\n", b"9999 path=a\n", b"0 path=a\n", b"11 path=a", b"11 size=-1\n"]
)
def test_a_damaged_extended_header(tmp_path, record):
    content = header(tarfile.XHDTYPE, len(record)) + record.ljust(512, b"\0") + header(b"0", 0)
    with pytest.raises(UserError, match="extended header is damaged"):
        all_of(stored(tmp_path / "a.tar", content + bytes(1024)))


@pytest.mark.parametrize("fault", ["checksum", "length", "cut", "tail"])
def test_a_gzip_whose_end_is_wrong_though_all_members_were_read(tmp_path, content, fault):
    packed = bytearray(gzip.compress(content))
    if fault == "tail":
        packed += b"garbage"
    elif fault == "cut":
        del packed[-8:]
    else:
        packed[-8 if fault == "checksum" else -4] ^= 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed)
    with pytest.raises(
        UserError, match=r"is truncated or damaged \(.*remove it and fetch it again"
    ):
        all_of(path)
    with pytest.raises(UserError, match=r"is truncated or damaged \("):
        find(path, ["0.bin"])


def test_a_damaged_tar_in_a_tar_is_named(tmp_path, content):
    path = tarred(tmp_path / "a.tar", {"n1.tar": content, "n2.tar": content[:3000]})
    with pytest.raises(UserError, match=r"a.tar is truncated .*'n2.tar/x/\d.bin'"):
        [m.name for _, inner in tar_of_tars(path) for m in inner]


def test_a_tar_of_old_without_a_magic(tmp_path):
    stream = io.BytesIO()
    block = bytearray(header(b"\0", 3, "old.bin"))
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    stream.write(bytes(block) + b"abc".ljust(512, b"\0") + bytes(1024))
    assert all_of(stored(tmp_path / "a.tar", stream.getvalue())) == {"old.bin": b"abc"}
