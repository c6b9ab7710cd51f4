"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend: one sentence that says what, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that helps: the nearest valid name, or all of them."""
    known = sorted(set(map(str, known)))
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known[:12])}" + (" ..." if len(known) > 12 else ".")


def unknown(name: str, known: Iterable[str], kind: str, place: str = "") -> UserError:
    """The error for a name that is none of `known`: `PLACE: unknown KIND 'NAME'; did you ...`."""
    where = f"{place}: " if place else ""
    return UserError(f"{where}unknown {kind} {name!r}{nearest(name, known)}")


def reason(error: BaseException) -> str:
    """What an exception says, in a line that fits into a sentence; its type where it says nothing.

    An OSError says what the system says, and of which file.
    """
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = "it needs more memory than there is"
    elif isinstance(error, KeyError):
        text = f"there is no {error}"
    else:
        text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = lines[0].rstrip(".:") if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
