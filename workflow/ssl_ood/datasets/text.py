"""The tables and lists in archives, as the programs of several decades and systems write them."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

from ssl_ood.common.errors import UserError


def text_of(path: Path, name: str, files: Mapping[str, bytes]) -> str:
    """The text of the member `name` of the archive `path`, out of its contents by name.

    UTF-8, with or without a byte order mark, or UTF-16 with one. A byte that is not UTF-8 becomes
    a lone surrogate, as in the names of archives, so that an old list finds its old files.
    Raises UserError for what is not text.
    """
    content = files[name]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, errors = "utf-16", "strict"
    else:
        encoding, errors = "utf-8-sig", "surrogateescape"
    try:
        text = content.decode(encoding, errors)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path}: {name} is not text: it is not the list that the catalogue means.")
    return text


def printable(name: str) -> str:
    """The name on one line of UTF-8, where a backslash, a line break or a foreign byte is escaped.

    Such as `a\\\\b`, `a\\nb` and `caf\\xe9`; different names stay different.
    """
    name = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
