"""Which images of a dataset belong together: those of a patient, and copies of one file.

Copies are found by content, whatever their names. That is cheap: files of a size of their own are
not read at all, and of others only the beginning, unless the beginnings are equal too.
"""

from __future__ import annotations

import hashlib

import numpy as np

from ssl_ood.datasets.archives import Damaged, Data, FileRef, ZipRef, read

BEGINNING = 4096  # bytes; in a tar they lie beside the header, which is read anyway


class Groups:
    """Images in their order, joined by patient and by content."""

    def __init__(self) -> None:
        self._leader: list[int] = []  # of each image, an earlier one of its group, or itself
        self._copies: list[int] = []  # images whose content is that of an earlier one
        self._patients: dict[str, int] = {}
        self._contents = _Contents()

    def add(self, patient: str | None, data: Data | np.ndarray | None = None) -> None:
        """The next image; without `data` its content is not looked at."""
        place = len(self._leader)
        self._leader.append(place)
        if patient is not None:
            self._join(place, self._patients.setdefault(patient, place))
        if data is not None:
            same = self._contents.first_like(place, data)
            if same != place:
                self._copies.append(place)
                self._join(place, same)

    @property
    def copies(self) -> int:
        """How many images have the content of an earlier one."""
        return len(self._copies)

    def copied(self) -> np.ndarray:
        """(N,) bool: the images in whose group there are copies."""
        return np.isin(self.numbers(), [self._first(place) for place in self._copies])

    def numbers(self) -> np.ndarray:
        """(N,) int64: the number of each image's group, that of its first image."""
        return np.array([self._first(place) for place in range(len(self._leader))], np.int64)

    def _first(self, place: int) -> int:
        while self._leader[place] != place:
            self._leader[place] = self._leader[self._leader[place]]  # shortens the way
            place = self._leader[place]
        return place

    def _join(self, one: int, other: int) -> None:
        one, other = self._first(one), self._first(other)
        self._leader[max(one, other)] = min(one, other)


class _Contents:
    """Finds the first image that has the same content."""

    def __init__(self) -> None:
        self._sizes: dict[object, tuple[int, FileRef | ZipRef]] = {}  # the first of each size
        self._beginnings: dict[object, tuple[int, FileRef | ZipRef]] = {}
        self._digests: dict[bytes, int] = {}
        self._shared: set[object] = set()  # sizes and beginnings that several images have

    def first_like(self, place: int, data: Data | np.ndarray) -> int:
        """The place of the first image with this content: `place` itself if it is that."""
        if not isinstance(data, FileRef | ZipRef):
            return self._digests.setdefault(_digest(data), place)
        candidate = (place, data)
        size = (data.size, data.crc if isinstance(data, ZipRef) else None)
        first = self._sizes.setdefault(size, candidate)
        if first is candidate:
            return place
        if size not in self._shared:
            self._shared.add(size)
            self._beginnings[size, _beginning(first[1])] = first
        beginning = (size, _beginning(data))
        first = self._beginnings.setdefault(beginning, candidate)
        if first is candidate:
            return place
        try:
            if beginning not in self._shared:
                self._shared.add(beginning)
                self._digests.setdefault(_digest(read(first[1])), first[0])
            return self._digests.setdefault(_digest(read(data)), place)
        except Damaged:  # decoding will say so
            return place


def _digest(content: bytes | np.ndarray) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(content, np.ndarray):
        digest.update(f"{content.dtype}{content.shape}".encode())
        content = np.ascontiguousarray(content)
    digest.update(content)
    return digest.digest()


def _beginning(data: FileRef | ZipRef) -> bytes:
    """A digest of the first bytes of a file; nothing for a zip's, whose checksum is known."""
    if isinstance(data, ZipRef):
        return b""
    try:
        with open(data.path, "rb") as file:
            file.seek(data.offset)
            return _digest(file.read(min(BEGINNING, data.size)))
    except OSError:
        return b""
