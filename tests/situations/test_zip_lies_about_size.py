"""Zips whose directory lies: about sizes, names, links; nothing swells and nothing is taken."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from support.bounded import bounded

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import Damaged, members, read, unpack

SWOLLEN = 120 << 20


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def zip_of(path: Path, packed: bytes, *, size: int, crc: int = 0, method: int = 8, mode: int = 0,
           name: bytes = b"x/a/0.png", local_name: bytes | None = None) -> Path:  # fmt: skip
    """A zip of one member of which everything is said by hand."""
    local_name = name if local_name is None else local_name
    fields = (20, 0, method, 0, 0x21, crc, len(packed), size)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", *fields, len(local_name), 0) + local_name + packed
    central = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 0x314, *fields, len(name), 0, 0, 0, 0, mode << 16, 0
    )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central + name), len(local), 0)
    path.write_bytes(local + central + name + end)
    return path


@pytest.fixture(scope="module")
def bomb():
    return deflated(bytes(SWOLLEN))


@pytest.mark.parametrize("size", [0, 1, 1000, 10 << 20])
def test_a_member_that_swells_beyond_what_it_declares(tmp_path, bomb, size):
    path = zip_of(tmp_path / "a.zip", bomb, size=size)

    def reads() -> str:
        with pytest.raises(Damaged, match="expands to more bytes than it declares") as raised:
            read(next(iter(members(path))).data)
        return str(raised.value)

    outcome = bounded(reads)
    assert outcome.ended is None and outcome.peak < 50


def test_a_member_that_is_shorter_than_it_declares(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b"short"), size=1000, crc=zlib.crc32(b"short"))
    with pytest.raises(Damaged, match="is cut short"):
        read(next(iter(members(path))).data)


def test_a_member_that_declares_more_than_any_picture_has(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b"x"), size=0xFFFFFFFE)
    with pytest.raises(UserError, match="looks like a zip bomb"):
        list(members(path))


def test_something_behind_the_end_of_the_packed_bytes(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b"good") + b"more", size=4, crc=zlib.crc32(b"good"))
    with pytest.raises(Damaged, match="something follows the end of its packed bytes"):
        read(next(iter(members(path))).data)


def test_a_stored_member_of_two_sizes(tmp_path):
    path = zip_of(tmp_path / "a.zip", b"content", size=3, method=0, crc=zlib.crc32(b"con"))
    with pytest.raises(Damaged, match="7 bytes are stored, 3 declared"):
        read(next(iter(members(path))).data)


@pytest.mark.parametrize("size", [0, 20, SWOLLEN])
def test_a_link_whose_target_swells(tmp_path, bomb, size):
    path = zip_of(tmp_path / "a.zip", bomb, size=size, mode=0o120777)

    def reads() -> None:
        with pytest.raises(UserError, match=r"a.zip(: the link 'x/a/0.png' |.*zip bomb)"):
            list(members(path))

    outcome = bounded(reads)
    assert outcome.ended is None and outcome.peak < 50


def test_unpacking_writes_no_more_than_is_declared(tmp_path, bomb):
    path = zip_of(tmp_path / "a.zip", bomb, size=5000)
    with pytest.raises(
        UserError, match=r"x/a/0.png is damaged: it expands.*Fetch the archive again"
    ):
        unpack(path, tmp_path / "out")
    assert (tmp_path / "out/x/a/0.png").stat().st_size <= 5000


def test_a_member_of_another_name_where_it_lies(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b""), size=0, local_name=b"x/a/0.gif")
    with pytest.raises(UserError, match=r"'x/a/0.png' is not where its directory says"):
        list(members(path))


def test_two_members_of_one_name(tmp_path):
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/0.png", b"1")
        archive.writestr("x/0.png", b"2")
    with pytest.raises(UserError, match=r"holds two files named 'x/0.png'"):
        list(members(tmp_path / "a.zip"))


def test_a_directory_that_is_cut_out(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b""), size=0)
    content = bytearray(path.read_bytes())
    content[-14:-12] = b"\2\0"  # entries on this disk
    content[-12:-10] = b"\2\0"  # entries in all
    path.write_bytes(content)
    with pytest.raises(UserError, match="its directory has 1 of 2 entries"):
        list(members(path))


def test_a_name_that_is_no_text(tmp_path):
    path = zip_of(tmp_path / "a.zip", deflated(b""), size=0, name=b"\xff\xfe.png")
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\1\2") + 9] = 8  # the flag of UTF-8
    path.write_bytes(content)
    with pytest.raises(UserError, match="is truncated or damaged"):
        list(members(path))
