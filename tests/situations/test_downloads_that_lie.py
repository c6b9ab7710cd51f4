"""Servers that send more, less, something else or next to nothing; proxies that are dead."""

from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.servers import certified, serving

from ssl_ood.common.errors import UserError
from ssl_ood.datasets import download as downloads
from ssl_ood.datasets import transfer
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.download import Unavailable, download
from ssl_ood.datasets.fetch import fetch

CONTENT = bytes(range(256)) * 8000  # 2 MB
SHA = hashlib.sha256(CONTENT).hexdigest()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(downloads, "BACK_OFF", (0.01,))
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def get(tmp_path, certificate):
    """A function: downloads from a server that answers so; the server, with what it was asked."""

    def go(answer, part=None, **options):
        target = tmp_path / "a.bin"
        if part is not None:
            (tmp_path / "a.bin.part").write_bytes(part)
        with serving(answer, certificate) as served:
            options = {"rounds": 2, "context": served.context, **options}
            download([served.url], target, right, **options)
        assert target.read_bytes() == CONTENT
        assert [path.name for path in tmp_path.iterdir()] == ["a.bin"], "something is left behind"
        return served

    return go


def right(hashes):
    return None if hashes.sha256 == SHA else f"expected {SHA}, found {hashes.sha256}"


def rest(request, content=CONTENT, **headers):
    """An honest answer, to a request for the rest as well."""
    wanted = request.headers.get("Range")
    version = headers.get("ETag")
    if wanted is None or request.headers.get("If-Range", version) != version:
        request.send(200, content, **headers)
        return
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
    request.send(206, content[start:], Content_Range=place, **headers)


def endless(request, **headers):
    request.begin(200, **headers)
    for _ in range(200):
        request.wfile.write(CONTENT[: 1 << 20])


def test_no_more_than_the_catalogue_knows_is_taken(get, tmp_path):
    with pytest.raises(Unavailable, match=r"announces 99,999,999 bytes, where the catalogue knows"):
        get(lambda r: endless(r, Content_Length=99_999_999), most=len(CONTENT))
    with pytest.raises(Unavailable, match=r"sends more than the 2,048,000 bytes"):
        get(endless, most=len(CONTENT))
    assert not list(tmp_path.iterdir())


def test_no_more_than_is_announced_is_taken(get, tmp_path):
    get(lambda r: endless_behind(r))


def endless_behind(request):
    request.begin(200, Content_Length=len(CONTENT))
    request.wfile.write(CONTENT)
    request.wfile.write(CONTENT)


def test_chunks_beyond_the_size_of_the_catalogue(get):
    def chunks(request):
        request.protocol_version = "HTTP/1.1"
        request.begin(200, Transfer_Encoding="chunked")
        for _ in range(100):
            request.wfile.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")

    with pytest.raises(Unavailable, match="sends more than the 2,048,000 bytes"):
        get(chunks, most=len(CONTENT))


@pytest.mark.parametrize("length", ["abc", "-5", "1e6", "12, 12", "٣"])
def test_a_length_that_is_no_number(get, length):
    with pytest.raises(Unavailable, match="announces a length that is not a number of bytes"):
        get(lambda r: r.send(200, CONTENT, Content_Length=length.encode().decode("latin-1")))


def test_a_trickle_is_broken_off_and_the_rest_asked_for(get, monkeypatch):
    monkeypatch.setattr(transfer, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(transfer, "SLOWEST", 1000.0)
    turns = []

    def trickle(request):
        turns.append(request)
        if len(turns) > 1:
            rest(request)
            return
        request.begin(200, Content_Length=len(CONTENT))
        for place in range(100):
            request.wfile.write(CONTENT[place : place + 1])
            time.sleep(0.05)

    started = time.monotonic()
    served = get(trickle)
    assert time.monotonic() - started < 4 and "Range" in served.asked[1]


def test_a_trickle_for_ever_is_said(get, monkeypatch):
    monkeypatch.setattr(transfer, "SLOW_SECONDS", 0.2)

    def trickle(request):
        request.begin(200, Content_Length=len(CONTENT))
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)

    with pytest.raises(Unavailable, match=r"sends no more than \d+ bytes per second"):
        get(trickle)


def test_the_rest_of_another_version_is_not_appended(get):
    old, turns = bytes(len(CONTENT)), []

    def changes(request):
        turns.append(request)
        if len(turns) == 1:
            request.begin(200, Content_Length=len(old), ETag='"old"')
            request.wfile.write(old[:500_000])
        else:
            rest(request, ETag='"new"')

    served = get(changes)
    assert [asked.get("If-Range") for asked in served.asked] == [None, '"old"']


def test_a_part_of_the_same_version_is_continued(get):
    turns = []

    def breaks(request):
        turns.append(request)
        if len(turns) == 1:
            request.begin(200, Content_Length=len(CONTENT), ETag='"one"')
            request.wfile.write(CONTENT[:500_000])
        else:
            rest(request, ETag='"one"')

    served = get(breaks)
    assert served.asked[1]["Range"] == "bytes=500000-"


@pytest.mark.parametrize("part", [b"x" * 1000, CONTENT[:-1] + b"x", bytes(len(CONTENT) + 5)])
def test_a_stale_part_is_thrown_away_once(get, part):
    served = get(rest, part=part)
    assert [("Range" in asked) for asked in served.asked] == [True, False]


def test_a_mirror_is_struck_off_after_a_stale_part_and_a_wrong_file(get, tmp_path):
    wrong = bytes(len(CONTENT))
    with pytest.raises(Unavailable, match=r"gave another file, kept as .*a.bin.rejected: expected"):
        get(lambda r: rest(r, wrong), part=b"x" * 1000, rounds=4)
    assert (tmp_path / "a.bin.rejected").read_bytes() == wrong


@pytest.mark.parametrize(
    "place",
    ["bytes 0-999/2048000", "bytes 1001-2047999/2048000", "bytes 1000-1999/2048000", "none", "",
     "bytes 1000-2047999/99", "bytes 1000-99999999999/*", "items 1000-2047999/2048000"],
)  # fmt: skip
def test_another_range_than_the_one_asked_for(get, place):
    def shifted(request):
        if "Range" in request.headers:
            request.send(206, CONTENT[1000:], Content_Range=place)
        else:
            request.send(200, CONTENT)

    served = get(shifted, part=CONTENT[:1000])
    assert len(served.asked) == 2


def test_a_range_that_nobody_asked_for(get):
    with pytest.raises(Unavailable, match="answers with another range"):
        get(lambda r: r.send(206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/*"))


def test_the_whole_in_answer_to_a_range_replaces_the_part(get):
    assert len(get(lambda r: r.send(200, CONTENT), part=b"x" * 1000).asked) == 1


def test_nothing_behind_the_part_that_is_whole(get):
    get(lambda r: r.send(416, Content_Range=f"bytes */{len(CONTENT)}"), part=CONTENT)


@pytest.mark.parametrize(("content", "what"), [(PAGE, "a web page"), (LFS, "a pointer of Git-LFS")])
def test_what_is_sent_in_place_of_the_file_is_named(get, content, what):
    with pytest.raises(Unavailable, match=f"gave {what} and not the file itself"):
        get(lambda r: r.send(200, content))


def test_redirects_in_circles(get):
    with pytest.raises(Unavailable, match="answers 302"):
        get(lambda r: r.send(302, Location=r.path))


def test_what_is_no_http(get):
    with pytest.raises(Unavailable, match=r"broke off \(BadStatusLine\)"):
        get(lambda r: r.wfile.write(b"SSH-2.0-OpenSSH_9\r\n" * 3))


@pytest.fixture
def nobody():
    """A port that refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def test_a_dead_proxy_is_blamed_and_not_the_host(tmp_path, monkeypatch, nobody):
    monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{nobody}")
    urls, dead = [f"https://host-{i}.example/a.bin" for i in range(3)], set()
    with pytest.raises(Unavailable) as raised:
        download(urls, tmp_path / "a.bin", right, rounds=1, dead_hosts=dead)
    text = str(raised.value)
    assert f"the proxy http://127.0.0.1:{nobody} on the way to it (https_proxy) refuses" in text
    assert "secret" not in text and dead == {f"http://127.0.0.1:{nobody}"}
    assert text.count("cannot be reached") >= 3


def test_a_proxy_that_refuses_is_named(tmp_path, monkeypatch):
    import threading

    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"the proxy http://127.* 407 Proxy Authentication"):
            download(["https://host.example/a"], tmp_path / "a.bin", right, rounds=1)


@pytest.mark.parametrize("proxy", ["http://", "not a proxy at all", "http://127.0.0.1:port"])
def test_a_proxy_that_is_none(tmp_path, monkeypatch, proxy):
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(Unavailable):
        download(["https://host.invalid/a"], tmp_path / "a.bin", right, rounds=1)


def test_files_of_a_person_that_are_something_else(tmp_path):
    catalogue = load_catalogue(Path(__file__).parents[2] / "resources" / "datasets.yaml")
    dataset = catalogue["dti"]
    (archive,) = dataset.archives
    for content, what in ((PAGE, "a web page"), (LFS, "a pointer of Git-LFS")):
        (tmp_path / archive.file).write_bytes(content)
        for md5 in (None, "0" * 32):
            known = replace(dataset, archives=(replace(archive, md5=md5, urls=(), bytes=None),))
            with pytest.raises(UserError, match=f"it is {what} and not the file itself"):
                fetch(known, tmp_path / "d", [tmp_path])
