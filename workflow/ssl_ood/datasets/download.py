"""One file over HTTPS: resumed, hashed while it streams, whole under its name or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.progress import Progress

CONNECT_TIMEOUT = 10.0  # seconds; also the longest silence in the middle of a file
BACK_OFF = (1.0, 5.0, 20.0)  # seconds before the second, third and fourth round over the mirrors
BLOCK = 1 << 20


@dataclass(frozen=True)
class Hashes:
    """Digests (hexadecimal) and length in bytes of a file."""

    md5: str
    sha256: str
    bytes: int


class Unavailable(Exception):
    """No mirror gave the file; the text says what each one answered."""


class _Gone(Exception):
    """A mirror will not give this file, however often it is asked."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise _Gone(f"sends on to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    urls: Sequence[str],
    target: Path,
    accept: Callable[[Hashes], str | None],
    *,
    size: int | None = None,
    rounds: int = 4,
    dead_hosts: set[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Hashes:
    """Downloads to `target` from the first mirror whose file is accepted; returns its digests.

    `accept` gets the digests and returns None, or what is wrong with them. What a broken
    connection left in `target.part` is continued, by this or a later call. A whole file that is
    not accepted is kept as `target.rejected` and the next mirror is tried. Hosts that cannot be
    reached are added to `dead_hosts` and not asked again in the last round.
    Raises Unavailable if no mirror gave the file, UserError if the disk is full.
    """
    dead_hosts = set() if dead_hosts is None else dead_hosts
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _check_space(target, size, part)
    said: dict[str, str] = {}
    mirrors = list(urls)
    for attempt in range(rounds):
        if attempt and mirrors:
            time.sleep(BACK_OFF[min(attempt, len(BACK_OFF)) - 1])
        for url in list(mirrors):
            host = urllib.parse.urlsplit(url).netloc
            if host in dead_hosts and attempt == 0:
                said.setdefault(url, "cannot be reached")
                continue
            try:
                hashes = _transfer(url, part, target.name, size, context)
                problem = accept(hashes)
                if problem is None:
                    os.replace(part, target)
                    return hashes
                rejected = target.with_name(target.name + ".rejected")
                os.replace(part, rejected)
                said[url] = f"gave another file, kept as {rejected}: {problem}"
                mirrors.remove(url)
            except _Gone as error:
                said[url] = str(error)
                mirrors.remove(url)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise UserError(
                        f"The disk of {target.parent} is full: {target.name} needs "
                        f"{_megabytes(size)}. What is there is kept and continued next time."
                    ) from None
                said[url] = _reason(error)
                if _unreachable(error):
                    dead_hosts.add(host)
            except HTTPException as error:
                said[url] = f"broke off ({type(error).__name__})"
        if not mirrors:
            break
    raise Unavailable("; ".join(f"{url} {reason}" for url, reason in said.items()))


def hash_file(path: Path, title: str | None = None) -> Hashes:
    """MD5 and SHA-256 of a file, in one pass."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = path.stat().st_size
    with open(path, "rb") as file, Progress(f"checking {title or path.name}", size, "B") as shown:
        while block := file.read(BLOCK):
            md5.update(block)
            sha256.update(block)
            shown.add(len(block))
    return Hashes(md5.hexdigest(), sha256.hexdigest(), size)


def _transfer(
    url: str, part: Path, title: str, size: int | None, context: ssl.SSLContext | None
) -> Hashes:
    """Brings `part` to the whole file; raises OSError or HTTPException if the connection breaks."""
    if urllib.parse.urlsplit(url).scheme != "https":
        raise _Gone("is not HTTPS")
    opener = urllib.request.build_opener(
        _HttpsOnly, urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
    )
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "ssl-ood", "Accept": "*/*"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = opener.open(request, timeout=CONNECT_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after what we have: whole, or the remains of another file
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return hash_file(part, title)
            part.unlink()
            raise OSError("has another file than the one begun; starting again") from None
        if error.code in (408, 425, 429) or error.code >= 500:
            raise OSError(f"answers {error.code} {error.reason}") from None
        raise _Gone(f"answers {error.code} {error.reason}") from None
    with response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else None
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        done = 0
        with (
            open(part, "rb+" if resumed else "wb") as file,
            Progress(title, total or size, "B", have if resumed else 0) as shown,
        ):
            while resumed and done < have:  # the digests cover the file from its first byte
                block = file.read(min(BLOCK, have - done))
                md5.update(block)
                sha256.update(block)
                done += len(block)
            while block := response.read(BLOCK):
                file.write(block)
                md5.update(block)
                sha256.update(block)
                done += len(block)
                shown.add(len(block))
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise OSError(f"broke off after {done:,} of {total:,} bytes")
    return Hashes(md5.hexdigest(), sha256.hexdigest(), done)


def _check_space(target: Path, size: int | None, part: Path) -> None:
    if size is None:
        return
    missing = size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(target.parent).free
    if missing > free:
        raise UserError(
            f"The disk of {target.parent} is full: {target.name} needs {_megabytes(missing)} more, "
            f"{_megabytes(free)} are free. Free some, or set downloads_dir to another disk."
        )


def _unreachable(error: OSError) -> bool:
    """Whether the host did not answer at all (no name, no route, refused, silence)."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, TimeoutError | ConnectionRefusedError) or (
        isinstance(reason, OSError)
        and not isinstance(reason, ssl.SSLError)
        and (
            type(reason).__name__ == "gaierror"
            or reason.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        )
    )


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error
    if type(reason).__name__ == "gaierror":
        return "cannot be reached (no such host, or no network)"
    if isinstance(reason, TimeoutError):
        return f"does not answer within {CONNECT_TIMEOUT:.0f} s"
    return str(getattr(reason, "strerror", None) or reason)


def _megabytes(size: float | None) -> str:
    return "more room" if size is None else f"{size / 2**20:,.1f} MiB"
