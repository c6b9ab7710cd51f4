"""Archives that are unsafe or damaged: refused with a sentence; nothing is written outside."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.archives import (
    Damaged,
    Limits,
    find,
    members,
    read,
    tar_of_tars,
    unpack,
)
from ssl_ood.datasets.archives.names import safe_name

FILES = {f"folder/{i}.bin": bytes([i]) * (100 + i) for i in range(20)}
KINDS = ["a.tar", "a.tar.gz", "a.zip"]


def archive(make, path, files=FILES, links=None):
    return (make.zipped if path.suffix == ".zip" else make.tar)(path, files, links)


@pytest.mark.parametrize("kind", KINDS)
def test_members_come_with_their_content(make, tmp_path, kind):
    path = archive(make, tmp_path / kind)
    assert {m.name: read(m.data) for m in members(path)} == FILES
    chosen = {m.name: read(m.data) for m in members(path, lambda n: n.endswith("/7.bin"))}
    assert chosen == {"folder/7.bin": FILES["folder/7.bin"]}
    assert find(path, ["7.bin"]) == {"7.bin": FILES["folder/7.bin"]}
    with pytest.raises(UserError, match=r"holds no z.csv"):
        find(path, ["7.bin", "z.csv"])


def test_a_folder_is_an_archive_too(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert {m.name: read(m.data) for m in members(tmp_path)} == FILES


def test_tars_in_a_tar_are_read_in_place(make, tmp_path):
    inner = {
        f"n0{i}.tar": make.tar_bytes({f"n0{i}_{j}.JPEG": bytes([i, j])})
        for i, j in [(1, 2), (3, 4)]
    }
    path = make.tar(tmp_path / "a.tar", inner)
    found = {o: {m.name: read(m.data) for m in files} for o, files in tar_of_tars(path)}
    assert found == {"n01.tar": {"n01_2.JPEG": b"\1\2"}, "n03.tar": {"n03_4.JPEG": b"\3\4"}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil"])
def test_a_name_that_leads_outside_is_refused(make, tmp_path, kind, name):
    path = archive(make, tmp_path / kind, {"good": b"", name: b"evil"})
    target = tmp_path / "in" / "there"
    target.mkdir(parents=True)
    with pytest.raises(UserError, match=r"lies outside of its folder.*was not unpacked"):
        unpack(path, target)
    assert not list(tmp_path.rglob("*evil*"))


@given(st.text(st.sampled_from("./\\ab:"), min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_safe_name_stays_below_its_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        clean = safe_name(root, name)
    except UserError:
        return
    assert (root / clean).resolve().is_relative_to(root.resolve())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret"])
def test_a_link_out_of_the_folder_is_refused(make, tmp_path, kind, target):
    path = archive(make, tmp_path / kind, FILES, {"folder/link": target})
    with pytest.raises(UserError, match="holds a link 'folder/link' that leads out of its folder"):
        list(members(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_inside_is_not_followed(make, tmp_path, kind):
    path = archive(make, tmp_path / kind, FILES, {"folder/link": "7.bin"})
    unpack(path, tmp_path / "out")
    assert len([f for f in (tmp_path / "out").rglob("*") if f.is_file()]) == len(FILES)


def test_links_in_a_folder_are_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.bin").write_bytes(b"x")
    (tmp_path / "a" / "inside").symlink_to("x.bin")
    assert [m.name for m in members(tmp_path / "a")] == ["inside", "x.bin"]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_zip_bomb_is_not_unpacked(make, tmp_path, kind):
    path = archive(make, tmp_path / kind, {f"{i}": bytes(10 << 20) for i in range(10)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UserError, match="looks like a zip bomb"):
        unpack(path, tmp_path / "out")
    written = sum(f.stat().st_size for f in (tmp_path / "out").rglob("*") if f.is_file())
    assert written <= 64 << 20


def test_a_zip_that_lies_about_its_sizes_gives_no_more_than_it_says(make, tmp_path):
    path = make.zipped(tmp_path / "a.zip", {"a": bytes(10 << 20)})
    content = path.read_bytes().replace(
        (10 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")
    )
    path.write_bytes(content)
    (member,) = members(path)
    with pytest.raises(Damaged, match="is damaged"):
        read(member.data)


def test_too_many_members_are_refused(make, tmp_path):
    path = make.tar(tmp_path / "a.tar", FILES)
    with pytest.raises(UserError, match="zip bomb"):
        list(members(path, limits=Limits(members=10)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_archive_is_said(make, tmp_path, kind, share, rng):
    files = {f"{i}.bin": rng.bytes(50_000) for i in range(10)}
    path = archive(make, tmp_path / kind, files)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        UserError, match=r"is truncated or damaged \(.*remove it and fetch it again"
    ):
        for member in members(path):
            read(member.data)


def test_a_flipped_bit_in_a_zip_is_found(make, tmp_path, rng):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored: the checksum is all there is
        archive.writestr("a", rng.bytes(1000))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="its checksum differs"):
        read(next(iter(members(path))).data)
    with pytest.raises(UserError, match=r"a is damaged.*Fetch the archive again"):
        find(path, ["a"])


def test_what_is_no_archive_is_said(tmp_path):
    for name in KINDS:
        path = tmp_path / name
        path.write_bytes(b"<html>not found</html>" * 100)
        with pytest.raises(UserError, match="is truncated or damaged"):
            list(members(path))


def test_devices_and_pipes_in_a_tar_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("pipe")
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
        info = tarfile.TarInfo("a")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"a"))
    assert [m.name for m in members(tmp_path / "a.tar")] == ["a"]


def test_a_gzip_with_a_tail_of_garbage_is_said(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"no tar at all" * 1000))
    with pytest.raises(UserError, match="is truncated or damaged"):
        list(members(tmp_path / "a.tar.gz"))
