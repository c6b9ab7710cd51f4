"""One request for a file over HTTPS, or for the rest of it. Nothing that a server says is believed.

Not its length, which is a limit and not a promise, nor that the rest it sends is of the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from ssl_ood.common.files import write_json
from ssl_ood.common.progress import Progress

CONNECT_TIMEOUT = 10.0  # seconds; also the longest silence in the middle of a file
SLOWEST = 1024.0  # bytes per second, over so many seconds; whatever is slower is broken off
SLOW_SECONDS = 20.0
BLOCK = 1 << 20
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Hashes:
    """Digests (hexadecimal) and length in bytes of a file."""

    md5: str
    sha256: str
    bytes: int


class Gone(Exception):
    """A mirror will not give this file, however often it is asked."""


class Stale(Exception):
    """What lies there already is not a beginning of what the server has."""


class Part:
    """`target.part`, and beside it, in a hidden file, which version of the file it is part of."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> str | None:
        """What the server called the version that this is part of, if it came from this address."""
        try:
            note: Any = json.loads(self.note.read_text(encoding="utf-8"))
            return str(note["version"]) if note["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, url: str, version: str | None) -> None:
        """Notes the version, None where the server names none."""
        if version is None:
            self.forget()
        else:
            write_json(self.note, {"url": url, "version": version})

    def forget(self) -> None:
        """Removes the note."""
        self.note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes all."""
        self.path.unlink(missing_ok=True)
        self.forget()

    def reject(self) -> Path:
        """Keeps the file under another name, which it returns."""
        rejected = self.target.with_name(f"{self.target.name}.rejected")
        os.replace(self.path, rejected)
        self.forget()
        return rejected


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise Gone(f"sends on to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address, without its password; None for none."""
    host = urllib.parse.urlsplit(url).hostname or ""
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return re.sub(r"//[^/@]*@", "//", proxy)


def transfer(
    url: str, part: Part, most: int | None = None, context: ssl.SSLContext | None = None
) -> Hashes:
    """Brings `part` to the whole file, of at most `most` bytes; returns its digests.

    Raises Gone, Stale, and OSError or HTTPException where the connection breaks.
    """
    if urllib.parse.urlsplit(url).scheme != "https":
        raise Gone("is not HTTPS")
    have = part.size
    response = _asked(url, part, have, context)
    with response:
        resumed, total = _announced(response, have)
        if total is not None and most is not None and total > most:
            raise Gone(f"announces {total:,} bytes, where the catalogue knows {most:,}")
        if not resumed:
            version = response.headers.get("ETag") or response.headers.get("Last-Modified")
            # A weak ETag names no bytes.
            part.begin(url, None if (version or "").startswith("W/") else version)
        start = have if resumed else 0
        limits = [limit for limit in (total, most) if limit is not None]
        return _stream(response, part, start, total, min(limits, default=None))


def _asked(url: str, part: Part, have: int, context: ssl.SSLContext | None) -> HTTPResponse:
    """The server's answer to a request for what is missing."""
    opener = urllib.request.build_opener(
        _HttpsOnly, urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
    )
    request = urllib.request.Request(url, headers={"User-Agent": "ssl-ood", "Accept": "*/*"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        version = part.version(url)
        if version is not None:  # another version comes whole instead
            request.add_header("If-Range", version)
    try:
        return opener.open(request, timeout=CONNECT_TIMEOUT)
    except urllib.error.HTTPError as error:
        answer = f"answers {error.code} {' '.join(str(error.reason).split())}"
        if error.code == 416:  # nothing after what we have: whole, or of another file
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return _Nothing(have)
            raise Stale(f"{answer}: it has no such file as the one begun") from error
        if error.code in (408, 425, 429) or error.code >= 500:
            raise OSError(answer) from error
        raise Gone(answer) from error


class _Nothing:
    """The answer that nothing is missing, in the shape of any other."""

    status = 206

    def __init__(self, have: int) -> None:
        self.headers = {"Content-Length": "0", "Content-Range": f"bytes {have}-{have - 1}/{have}"}

    def read1(self, size: int) -> bytes:
        return b""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None: ...


def _announced(response: HTTPResponse, have: int) -> tuple[bool, int | None]:
    """Whether it is the rest that comes, and how many bytes the whole file has, if it says so."""
    length = response.headers.get("Content-Length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise Gone(f"announces a length that is not a number of bytes ({length[:40]!r})")
    if response.status != 206:
        return False, None if length is None else int(length)
    answer = response.headers.get("Content-Range", "")
    match = CONTENT_RANGE.fullmatch(answer)
    if not have or match is None or int(match[1]) != have:
        raise Stale(f"answers with another range ({answer[:60]!r}) than from byte {have:,} on")
    end = int(match[2]) + 1
    if (match[3] != "*" and int(match[3]) != end) or (length and int(length) != end - have):
        raise Stale(f"answers with a range that does not reach to the end ({answer[:60]!r})")
    return True, end


def _stream(
    response: HTTPResponse, part: Part, start: int, total: int | None, most: int | None
) -> Hashes:
    """Appends what comes to the part, from byte `start` of it on; returns the digests of all."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    done = 0
    pace = _Pace()
    with (
        open(part.path, "rb+" if start else "wb") as file,
        Progress(part.target.name, total or most, "B", start) as shown,
    ):
        while done < start:  # the digests cover the file from its first byte
            block = file.read(min(BLOCK, start - done))
            md5.update(block)
            sha256.update(block)
            done += len(block)
        pace.start()
        while block := response.read1(BLOCK):
            done += len(block)
            if most is not None and done > most:
                raise Stale(f"sends more than the {most:,} bytes that are announced")
            file.write(block)
            md5.update(block)
            sha256.update(block)
            shown.add(len(block))
            pace.add(len(block))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise OSError(f"broke off after {done:,} of {total:,} bytes")
    return Hashes(md5.hexdigest(), sha256.hexdigest(), done)


class _Pace:
    """Breaks off where a server trickles."""

    def start(self) -> None:
        self.since, self.bytes = time.monotonic(), 0

    def add(self, size: int) -> None:
        """Counts what came. Raises OSError for less than SLOWEST over SLOW_SECONDS."""
        self.bytes += size
        seconds = time.monotonic() - self.since
        if seconds < SLOW_SECONDS:
            return
        if self.bytes < SLOWEST * seconds:
            raise OSError(f"sends no more than {self.bytes / seconds:,.0f} bytes per second")
        self.start()
