"""Names and links of members: refused where they lead out of the archive's folder."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.notes import note
from ssl_ood.datasets.passed_over import why_passed_over

LINKS = "links in the archive"  # not followed
LONGEST = 4096  # bytes of a path that Linux takes


def safe_name(path: Path, name: str) -> str:
    """The name as a relative path inside the archive; raises UserError if it is none."""
    if len(name) > LONGEST or "\0" in name:
        raise UserError(
            f"{path} holds a file whose name of {len(name):,} characters ({shown(name)}) is not a "
            "path: it is damaged or not the archive that the catalogue means. It was not unpacked."
        )
    clean = posixpath.normpath(name.replace("\\", "/"))
    if clean.startswith("/") or clean.split("/")[0] == ".." or clean[1:2] == ":":
        raise UserError(
            f"{path} holds a file named {shown(name)}, which lies outside of its folder: it is not "
            "the archive that the catalogue means. It was not unpacked."
        )
    return clean


def pass_over_link(path: Path, name: str, target: str, base: str | None = None) -> None:
    """Counts a link, which is not followed.

    base: what the target is relative to, if it is not the link's folder. Raises UserError for a
    link that leads out of the archive, or whose target no path can be.
    """
    if len(target) > LONGEST or "\0" in target:
        raise UserError(
            f"{path} holds a link {shown(name)} whose target of {len(target):,} characters is not "
            "a path: it is damaged or not the archive that the catalogue means. It was not "
            "unpacked."
        )
    inside = posixpath.normpath(posixpath.join(base or posixpath.dirname(name), target))
    if target.startswith("/") or inside.split("/")[0] == "..":
        raise UserError(
            f"{path} holds a link {shown(name)} that leads out of its folder, to {shown(target)}: "
            "it is not the archive that the catalogue means. It was not unpacked."
        )
    if why_passed_over(name) is None:
        note(LINKS, path, name)


def shown(name: str) -> str:
    """A name in quotes, short enough for a sentence."""
    return repr(name if len(name) <= 120 else f"{name[:100]}...")
