"""What reading a dataset passes over or follows, counted, so that packing can say it.

Readers pass over the same names several times; each name counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path


class Notes:
    """Counts of names by what they are."""

    def __init__(self) -> None:
        self._seen: dict[str, set[int]] = {}

    def add(self, remark: str, path: Path, name: str) -> None:
        """Notes the member `name` of the archive `path`, once."""
        # Hashes in place of names: an archive made on a Mac may hold a million.
        self._seen.setdefault(remark, set()).add(hash((path, name)))

    def counts(self) -> dict[str, int]:
        """How many names there are of each kind, by kind."""
        return {remark: len(self._seen[remark]) for remark in sorted(self._seen)}


_NOTES: ContextVar[Notes | None] = ContextVar("notes", default=None)


def note(remark: str, path: Path, name: str) -> None:
    """Notes a name where `noted` listens; else nothing."""
    notes = _NOTES.get()
    if notes is not None:
        notes.add(remark, path, name)


@contextmanager
def noted() -> Iterator[Notes]:
    """Listens to what is read within."""
    notes = Notes()
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)
