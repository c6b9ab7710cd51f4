"""An HTTPS server of one file that answers as a test says."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Handler"], None]


def certified(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key, certificate, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=mirror", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


class Handler(BaseHTTPRequestHandler):
    """One request. `answer` sends what it likes; a client that hangs up is no error."""

    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        with suppress(OSError):
            self.server.answer(self)

    def send(self, status: int, content: bytes = b"", **headers: object) -> None:
        """A whole answer; headers: their names with _ for -, None for one that is not sent."""
        self.begin(status, **{"Content_Length": len(content), **headers})
        self.wfile.write(content)

    def begin(self, status: int, **headers: object) -> None:
        """The head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Answers every request by `answer`; asked: the headers of the requests so far."""

    daemon_threads = True
    answer: Answer
    asked: list[dict[str, str]]

    def handle_error(self, *_: object) -> None: ...


@dataclass
class Served:
    """Where the server is, whom to trust for it, and what it was asked."""

    url: str
    context: ssl.SSLContext
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(answer: Answer, certificate: Path) -> Iterator[Served]:
    """Runs a server for the block."""
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    trusted = ssl.create_default_context(cafile=str(certificate))
    served = Served(f"https://127.0.0.1:{server.server_address[1]}/a.bin", trusted)
    server.answer, server.asked = answer, served.asked
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
