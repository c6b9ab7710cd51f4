"""Downloads against a local HTTPS mirror that breaks off, lies, refuses and fills the disk."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time

import pytest

from ssl_ood.common import progress
from ssl_ood.common.errors import UserError
from ssl_ood.datasets.download import Hashes, Unavailable, download

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks


def expect(content: bytes):
    digest = hashlib.sha256(content).hexdigest()
    return lambda h: None if h.sha256 == digest else f"expected {digest}, found {h.sha256}"


@pytest.fixture
def served(mirror):
    (mirror.folder / "a.bin").write_bytes(CONTENT)
    return mirror


def get(mirror, target, urls=None, **options):
    urls = urls or [f"{mirror.url}/a.bin"]
    return download(urls, target, expect(CONTENT), context=mirror.context, **options)


def test_a_file_comes_whole_with_its_digests(served, tmp_path):
    hashes = get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    md5, sha256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()
    assert hashes == Hashes(md5, sha256, len(CONTENT))
    assert not (tmp_path / "a.bin.part").exists()


def test_a_broken_connection_is_resumed_where_it_broke(served, tmp_path):
    served.break_after = [1_500_000, 700_000]
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert [r for _, r in served.requests] == [None, "bytes=1500000-", "bytes=2200000-"]


def test_a_later_call_goes_on_where_a_killed_one_was(served, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:3_000_000])
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert served.requests == [("/a.bin", "bytes=3000000-")]


def test_a_part_that_is_whole_already_is_taken(served, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_of_another_longer_file_is_begun_anew(served, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_again(served, tmp_path):
    served.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_an_overloaded_server_is_asked_again(served, tmp_path):
    served.answers = [503, 429]
    get(served, tmp_path / "a.bin")
    assert len(served.requests) == 3


def test_the_next_mirror_is_tried_and_a_lost_file_not_asked_for_twice(served, tmp_path):
    get(served, tmp_path / "a.bin", [f"{served.url}/lost.bin", f"{served.url}/a.bin"])
    assert [path for path, _ in served.requests] == ["/lost.bin", "/a.bin"]
    with pytest.raises(Unavailable, match=r"lost.bin answers 404"):
        get(served, tmp_path / "b.bin", [f"{served.url}/lost.bin"])


def test_a_wrong_checksum_says_expected_and_found_and_keeps_the_file(served, tmp_path):
    (served.folder / "a.bin").write_bytes(b"another file")
    found = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(Unavailable, match=rf"expected {expect_hex()}, found {found}"):
        get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin.rejected").read_bytes() == b"another file"
    assert not (tmp_path / "a.bin").exists()


def expect_hex() -> str:
    return hashlib.sha256(CONTENT).hexdigest()


def test_only_https_is_spoken(served, tmp_path):
    with pytest.raises(Unavailable, match=r"http://127.0.0.1/a.bin is not HTTPS"):
        get(served, tmp_path / "a.bin", ["http://127.0.0.1/a.bin"])
    served.redirect = "http://127.0.0.1/a.bin"
    with pytest.raises(Unavailable, match=r"sends on to http://.*which is not HTTPS"):
        get(served, tmp_path / "a.bin")


def test_a_certificate_that_nobody_vouches_for_is_refused(served, tmp_path):
    with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
        download([f"{served.url}/a.bin"], tmp_path / "a", expect(CONTENT), rounds=1)


def test_hosts_that_cannot_be_reached_cost_little_time(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    urls = [f"https://127.0.0.1:{port}/{i}" for i in range(5)] + ["https://nowhere.invalid/a"]
    start = time.monotonic()
    dead = set()
    with pytest.raises(Unavailable, match="cannot be reached"):
        download(urls, tmp_path / "a", expect(CONTENT), rounds=1, dead_hosts=dead)
    assert time.monotonic() - start < 12
    assert f"127.0.0.1:{port}" in dead


def test_a_disk_too_small_is_said_before_anything_is_fetched(served, tmp_path):
    with pytest.raises(UserError, match=r"is full: a.bin needs .* more, .* are free"):
        get(served, tmp_path / "a.bin", size=1 << 60)
    assert not served.requests


def test_a_disk_that_fills_up_keeps_what_is_there(served, tmp_path, certificate):
    # A limit on the size of files makes the kernel refuse to write, as a full disk does.
    code = f"""
import resource, ssl
from pathlib import Path
from ssl_ood.datasets.download import download
from ssl_ood.common.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    download([{served.url!r} + "/a.bin"], Path({str(tmp_path / "a.bin")!r}), lambda h: None,
             context=ssl.create_default_context(cafile={str(certificate)!r}))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "is full: a.bin needs" in done.stdout
    assert (tmp_path / "a.bin.part").stat().st_size > 1_000_000
    assert not (tmp_path / "a.bin").exists()
    get(served, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_progress_is_told_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress("cifar10", 10 << 20, "B") as shown:
        time.sleep(0.02)
        shown.add(5 << 20)
    line = capsys.readouterr().err.strip()
    assert line.startswith("cifar10: 5.0 of 10.0 MiB, ") and line.endswith("left")
