"""Small archives in the true formats, an HTTPS mirror with faults, and the way through both."""

from __future__ import annotations

import hashlib
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ssl_ood.datasets import download as download_module
from ssl_ood.datasets.catalogue import Dataset, Split, load_catalogue
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.packed import Packed, open_packed

sys.path.insert(0, str(Path(__file__).parent))

import writers
from support.servers import certified

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def catalogue() -> dict[str, Dataset]:
    return load_catalogue(REPOSITORY / "resources" / "datasets.yaml")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "BACK_OFF", (0.01,))


@pytest.fixture
def make() -> ModuleType:
    """Writers of archives and encoded images."""
    return writers


# ---- an HTTPS mirror ---------------------------------------------------------------------------


@dataclass
class Mirror:
    """Serves `folder` over HTTPS. The faults are for the next request(s) only."""

    folder: Path
    url: str = ""
    context: ssl.SSLContext | None = None
    break_after: list[int] = field(default_factory=list)  # bytes, then the connection is cut
    answers: list[int] = field(default_factory=list)  # status codes in place of the file
    redirect: str | None = None
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            mirror.requests.append((self.path, wanted))
            if mirror.redirect:
                self.send_response(302)
                self.send_header("Location", mirror.redirect)
                self.end_headers()
                return
            path = mirror.folder / self.path.split("?")[0].lstrip("/")
            status = mirror.answers.pop(0) if mirror.answers else 200 if path.is_file() else 404
            if status != 200:
                self.send_error(status)
                return
            content = path.read_bytes()
            start = 0
            if wanted and mirror.ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = start + mirror.break_after.pop(0) if mirror.break_after else len(content)
            self.wfile.write(content[start:stop])

    return Handler


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    return certified(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mirror(tmp_path: Path, certificate: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    mirror = Mirror(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(mirror))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # clients that give up are part of the tests
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    mirror.url = f"https://127.0.0.1:{server.server_address[1]}"
    mirror.context = ssl.create_default_context(cafile=str(certificate))
    yield mirror
    server.shutdown()
    server.server_close()


# ---- from the catalogue's entry to the packed set ------------------------------------------------


@pytest.fixture
def small(catalogue: dict[str, Dataset]) -> Callable[..., Dataset]:
    """A catalogue entry fitted to small archives in a folder: their checksums, these counts."""

    def shrink(name: str, folder: Path, url: str | None = None, **splits: object) -> Dataset:
        """`splits`: a count, or a dict of options to change with the count under "count"."""
        dataset = catalogue[name]
        archives = []
        for archive in dataset.archives:
            path = folder / archive.file
            if not path.is_file():
                if not archive.optional:
                    archives.append(archive)
                continue
            md5 = hashlib.md5(path.read_bytes()).hexdigest()
            urls = (f"{url}/{archive.file}",) if url else archive.urls
            size = path.stat().st_size
            archives.append(replace(archive, bytes=size, md5=md5, sha256=None, urls=urls))
        changed = {}
        for split, spec in splits.items():
            spec = {"count": spec} if isinstance(spec, int) else dict(spec)
            count = spec.pop("count")
            old = dataset.splits[split]
            changed[split] = Split(count, True, {**old.options, **spec})
        return replace(dataset, archives=tuple(archives), splits=changed)

    return shrink


@pytest.fixture
def through(tmp_path: Path, mirror: Mirror) -> Callable[..., Packed]:
    """Takes a dataset whose archives lie in the mirror through fetch, verify, read and pack.

    What is free is downloaded over HTTPS, what is not is found in a folder of archives.
    """

    def go(dataset: Dataset, split: str, size: int, **options: object) -> Packed:
        folders = [] if dataset.access == "free" else [mirror.folder]
        manifest = tmp_path / "archives" / f"{dataset.name}.json"
        fetch(dataset, tmp_path / "downloads", folders, manifest, context=mirror.context)
        folder = tmp_path / "data" / dataset.name / f"{split}-{size}px"
        pack(dataset, split, size, manifest, folder, **{"workers": 1, **options})
        return open_packed(folder)

    return go
