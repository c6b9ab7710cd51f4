"""What lies in a file's place when it is not the file: a web page, or a pointer of Git-LFS."""

from __future__ import annotations

import re

LOOKED_AT = 512  # bytes at the beginning that tell
LFS = b"version https://git-lfs.github.com/spec/"
WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body|\?xml[^>]*>\s*<!doctype\s+html)", re.I
)


def impostor(begins: bytes) -> str | None:
    """What a file is that begins so, as the end of "it is ..."; None if it may be the file."""
    if begins.startswith(LFS):
        return "a pointer of Git-LFS and not the file itself: get it with `git lfs pull`"
    if WEB_PAGE.match(begins):
        return "a web page and not the file itself: the server may ask for a login, or have lost it"
    return None
