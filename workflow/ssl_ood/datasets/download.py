"""One file over HTTPS: resumed, hashed while it streams, whole under its name or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import ssl
import time
import urllib.parse
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.progress import Progress
from ssl_ood.datasets.impostors import LOOKED_AT, impostor
from ssl_ood.datasets.transfer import (
    BLOCK,
    CONNECT_TIMEOUT,
    Gone,
    Hashes,
    Part,
    Stale,
    proxy_of,
    transfer,
)

BACK_OFF = (1.0, 5.0, 20.0)  # seconds before the second, third and fourth round over the mirrors


class Unavailable(Exception):
    """No mirror gave the file; the text says what each one answered."""


def download(
    urls: Sequence[str],
    target: Path,
    accept: Callable[[Hashes], str | None],
    *,
    size: int | None = None,
    most: int | None = None,
    rounds: int = 4,
    dead_hosts: set[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Hashes:
    """Downloads to `target` from the first mirror whose file is accepted; returns its digests.

    `accept` gets the digests and returns None, or what is wrong with them. What a broken
    connection left in `target.part` is continued, by this or a later call; where that gives a file
    that is not accepted, the part was stale, and the mirror is asked once for all of it. A whole
    file that is not accepted is kept as `target.rejected` and the next mirror is tried. No more
    than `most` bytes are taken; `size` is what the file is expected to have. Hosts, and proxies,
    that cannot be reached are added to `dead_hosts` and not asked again in the last round.
    Raises Unavailable if no mirror gave the file, UserError if the disk is full.
    """
    dead_hosts = set() if dead_hosts is None else dead_hosts
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Part(target)
    _check_space(target, size, part)
    answers: dict[str, str] = {}
    mirrors = list(urls)
    for attempt in range(rounds):
        if attempt and mirrors:
            time.sleep(BACK_OFF[min(attempt, len(BACK_OFF)) - 1])
        for url in list(mirrors):
            gate = proxy_of(url) or urllib.parse.urlsplit(url).netloc
            if gate in dead_hosts and attempt == 0:
                answers.setdefault(url, _blamed(url, "cannot be reached"))
                continue
            try:
                hashes = _accepted(url, part, accept, most, context)
                os.replace(part.path, target)
                part.forget()
                return hashes
            except Gone as error:
                answers[url] = str(error)
                mirrors.remove(url)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise UserError(
                        f"The disk of {target.parent} is full: {target.name} needs "
                        f"{_megabytes(size)}. What is there is kept and continued next time."
                    ) from error
                answers[url] = _said(error)
                if "Tunnel connection failed" in answers[url]:  # the proxy's word for the host
                    answers[url] = _blamed(url, answers[url])
                elif _unreachable(error):
                    answers[url] = _blamed(url, answers[url])
                    dead_hosts.add(gate)
            except HTTPException as error:
                answers[url] = f"broke off ({type(error).__name__})"
            except ValueError as error:  # of an address or a proxy that is none
                answers[url] = f"cannot be asked ({reason(error)})"
                mirrors.remove(url)
        if not mirrors:
            break
    raise Unavailable("; ".join(f"{url} {answer}" for url, answer in answers.items()))


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


def _accepted(
    url: str,
    part: Part,
    accept: Callable[[Hashes], str | None],
    most: int | None,
    context: ssl.SSLContext | None,
) -> Hashes:
    """Brings the part to a whole file that is accepted. Raises Gone, OSError, HTTPException."""
    for is_last in (False, True):
        resumed = part.size > 0
        try:
            hashes = transfer(url, part, most, context)
            problem = accept(hashes)
        except Stale as error:
            hashes, problem = None, str(error)
        if problem is None:
            return hashes
        if resumed and not is_last:  # the beginning may be of another file, or damaged
            part.remove()
            continue
        if hashes is None:
            part.remove()
            raise Gone(problem)
        with open(part.path, "rb") as file:
            other = impostor(file.read(LOOKED_AT))
        rejected = part.reject()
        content = "another file" if other is None else other
        raise Gone(f"gave {content}, kept as {rejected}: {problem}")
    raise AssertionError("the second turn ends in any case")


def _check_space(target: Path, size: int | None, part: Part) -> None:
    if size is None:
        return
    missing = size - part.size
    free = shutil.disk_usage(target.parent).free
    if missing > free:
        raise UserError(
            f"The disk of {target.parent} is full: {target.name} needs {_megabytes(missing)} more, "
            f"{_megabytes(free)} are free. Free some, or set downloads_dir to another disk."
        )


def _unreachable(error: OSError) -> bool:
    """Whether the host did not answer at all (no name, no route, refused, silence)."""
    cause = getattr(error, "reason", error)
    return isinstance(cause, TimeoutError | ConnectionRefusedError) or (
        isinstance(cause, OSError)
        and not isinstance(cause, ssl.SSLError)
        and (
            type(cause).__name__ == "gaierror"
            or cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        )
    )


def _blamed(url: str, answer: str) -> str:
    """An answer, said of the proxy where there is one in between: the host was never asked."""
    proxy = proxy_of(url)
    if proxy is None:
        return answer
    return f"cannot be reached: the proxy {proxy} on the way to it (https_proxy) {answer}"


def _said(error: OSError) -> str:
    cause = getattr(error, "reason", None) or error
    if type(cause).__name__ == "gaierror":
        return "cannot be reached (no such host, or no network)"
    if isinstance(cause, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(cause, TimeoutError):
        return f"does not answer within {CONNECT_TIMEOUT:.0f} s"
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"fails ({cause.strerror or cause})"
    return str(cause)


def _megabytes(size: float | None) -> str:
    return "more room" if size is None else f"{size / 2**20:,.1f} MiB"
