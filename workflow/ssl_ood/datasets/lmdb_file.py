"""The keys and values of an lmdb file, each value as its place in the file.

lmdb itself maps the file into memory and trusts it: a page that is missing or points astray ends
the process. Here every page is looked at before it is believed. The format: pages of equal size;
two meta pages, of which the newer one counts; a tree of branch and leaf pages; values that do not
fit into a leaf lie on overflow pages of their own.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ssl_ood.datasets.archives.bounds import Damaged
from ssl_ood.datasets.archives.content import FileRef

MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE = struct.Struct("<QHHHH")  # number, nothing, flags, end of the pointers, start of the nodes
META = struct.Struct("<II 16x I 44x IHH 24x QQQQ")
NODE = struct.Struct("<HHHH")
BRANCH, LEAF = 0x01, 0x02
ON_OVERFLOW_PAGES, NO_PLAIN_VALUE = 0x01, 0x06
NO_PAGE = (1 << 64) - 1
DEEPEST = 32  # levels; a tree of 10**9 entries has fewer than 10


def entries(path: Path) -> Iterator[tuple[bytes, FileRef]]:
    """The keys in their order, each with the place of its value. Raises Damaged."""
    with open(path, "rb") as file:
        yield from _Tree(file, path).entries()


class _Tree:
    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path, self.size = file, path, os.fstat(file.fileno()).st_size
        first = self._meta(0)
        second = self._meta(first[0] if first else 4096)
        metas = [meta for meta in (first, second) if meta]
        if not metas:
            raise Damaged("no page of it says that it is an lmdb file")
        self.page_size, self.count, self.root, _ = max(metas, key=lambda meta: meta[-1])
        self.seen: set[int] = set()

    def entries(self) -> Iterator[tuple[bytes, FileRef]]:
        count = 0
        for entry in self._below(self.root, 1) if self.root != NO_PAGE else ():
            count += 1
            yield entry
        if count != self.count:
            raise Damaged(f"it holds {count:,} of {self.count:,} entries")

    def _meta(self, offset: int) -> tuple[int, int, int, int] | None:
        """Size of the pages, number of entries, root and age; None where there is no such page."""
        self.file.seek(offset + PAGE.size)
        content = self.file.read(META.size)
        if len(content) < META.size:
            return None
        magic, version, page_size, _, flags, _, count, root, _, age = META.unpack(content)
        if (magic, version) != (MAGIC, VERSION) or not 256 <= page_size <= 1 << 16:
            return None
        if flags:
            raise Damaged("its table is of another kind than LSUN's")
        return page_size, count, root, age

    def _below(self, number: int, depth: int) -> Iterator[tuple[bytes, FileRef]]:
        """The entries of a page and of the pages below it."""
        start = number * self.page_size
        if number in self.seen or depth > DEEPEST or start + self.page_size > self.size:
            raise Damaged(f"page {number} is not there, or is its own child")
        self.seen.add(number)
        self.file.seek(start)
        page = self.file.read(self.page_size)
        own, _, flags, end, _ = PAGE.unpack_from(page)
        if own != number or flags not in (BRANCH, LEAF) or not PAGE.size <= end <= len(page):
            raise Damaged(f"page {number} is not a page of a tree")
        for place in struct.unpack_from(f"<{(end - PAGE.size) // 2}H", page, PAGE.size):
            if place + NODE.size > len(page):
                raise Damaged(f"page {number} points out of itself")
            low, high, more, length = NODE.unpack_from(page, place)
            key_start = place + NODE.size
            value = key_start + length
            if flags == BRANCH:
                yield from self._below(low | high << 16 | more << 32, depth + 1)
            elif value > len(page) or more & NO_PLAIN_VALUE:
                raise Damaged(f"page {number} has a damaged entry")
            else:
                place = self._value(page, start, value, low | high << 16, more)
                yield page[key_start:value], place

    def _value(self, page: bytes, start: int, value: int, size: int, flags: int) -> FileRef:
        """Where the value lies of which the page, from `start` of the file on, says `value`."""
        inside = 8 if flags & ON_OVERFLOW_PAGES else size
        if value + inside > len(page):
            raise Damaged("a value reaches out of its page")
        offset = start + value
        if flags & ON_OVERFLOW_PAGES:
            (number,) = struct.unpack_from("<Q", page, value)
            offset = number * self.page_size + PAGE.size
        if offset + size > self.size:
            raise Damaged(f"a value lies behind its end, at byte {offset:,}")
        return FileRef(str(self.path), offset, size)
