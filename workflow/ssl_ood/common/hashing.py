"""SHA-256 of files and of values, and what it costs: a counter that every stage writes to its log.

Checksums tell damage and mistakes: a page that a disk lost, a file copied to the wrong place. They
are no defence against forgery, for who can write a file can write its checksum, too.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ssl_ood.common.log import say

BLOCK = 1 << 20  # bytes that are read at a time


@dataclass
class Spent:
    """What this process has hashed: bytes, and CPU seconds, of reading, too."""

    seconds: float = 0.0
    bytes: int = 0


SPENT = Spent()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return sha256(_blocks(file))


def sha256(parts: Iterable[Any]) -> str:
    """Hexadecimal SHA-256 of bytes, or of what has a buffer of them, one part after the other."""
    start, digest = time.thread_time(), hashlib.sha256()
    for part in parts:
        digest.update(part)
        SPENT.bytes += memoryview(part).nbytes
    SPENT.seconds += time.thread_time() - start
    return digest.hexdigest()


def sha256_of_value(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON value, whatever the order of its keys."""
    return sha256([json.dumps(value, sort_keys=True).encode()])


@contextmanager
def told_spent() -> Iterator[None]:
    """Ends a stage that ends well with a line in its log, of one form in all, if it has hashed:

    hashed 12.3 MB in 0.008 of 5.21 CPU seconds
    """
    before = replace(SPENT)
    yield
    seconds, amount = SPENT.seconds - before.seconds, SPENT.bytes - before.bytes
    if amount:
        used = time.process_time()
        say(f"hashed {amount / 1e6:.1f} MB in {seconds:.3f} of {used:.2f} CPU seconds")


def _blocks(file: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: file.read(BLOCK), b"")
