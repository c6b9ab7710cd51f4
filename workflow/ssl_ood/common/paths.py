"""Paths as people write them: `~` and `$VAR` expanded, and refused where they cannot be meant."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ssl_ood.common.errors import UserError

VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)
LONGEST_NAME = 255  # bytes, on every common disk


def expanded(path: str, place: str) -> str:
    """`path` with `~` and variables replaced, without a trailing slash, `//` and `/./`.

    place: where it stands, such as "config: results_dir". Raises UserError for a variable that is
    not set, a home that is not there, and what is not a name of a file here.
    """

    def value_of(match: re.Match[str]) -> str:
        value = os.environ.get(match[1].strip("{}"))
        if not value:
            raise UserError(
                f"{place}: {path} names the variable {match[0]}, which is not set: set it, or "
                "write the path."
            )
        return value

    try:
        whole = os.path.expanduser(VARIABLE.sub(value_of, path))
    except ValueError:  # NUL in the name of a user
        whole = path
    whole = str(Path(whole)) if whole else ""
    if fault := _fault(whole):
        raise UserError(f"{place} is {path!a}{fault}")
    return whole


def _fault(path: str) -> str | None:
    """Why no folder can be meant, as the end of a sentence; None: one can."""
    if not path:
        return ": write the path of a folder or file."
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in path):
        return ", with a control character in it, such as the end of a line: take it out."
    if path != path.strip():
        return ", with a space at its start or end: take it away."
    if path.startswith("-"):
        return ", which programs would take for an option: write its whole path."
    if path.startswith("~"):
        return ", the home of somebody who is not known here: write the path."
    try:
        path.encode()
        longest = max(len(os.fsencode(name)) for name in path.split("/"))
    except UnicodeEncodeError:
        return (
            ", which is not a name of a file in the encoding of this process: take a name in UTF-8 "
            "and set PYTHONUTF8=1 where the locale has another encoding."
        )
    return ", with a name longer than disks allow: shorten it." if longest > LONGEST_NAME else None


def as_variable(paths: Iterable[str]) -> str:
    """Paths as the text of an environment variable; a path may have any sign in it."""
    return json.dumps(list(paths))


def from_variable(text: str) -> list[str]:
    """The paths of a variable: those of `as_variable`, or as in PATH, which a person types."""
    if text.startswith("["):
        return json.loads(text)
    if os.path.isdir(text):  # one folder, with a colon in its name
        return [text]
    return [path for path in text.split(os.pathsep) if path]


def in_utf8(path: Path) -> str:
    """The name of a file as UTF-8 reads its bytes, in whatever locale this process runs."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")
