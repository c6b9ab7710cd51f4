"""The commit and the version of this code, so that a result can be traced and repeated.

Both come from git. An archive of the repository (`git archive`, and those that hosts offer) carries
them in `.git_archival.txt`, which git fills in; an installed copy has the version that it was built
with.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
RELEASE = "0.1.0"  # the last release, or the one that is being prepared: CHANGELOG.md
TAGS = "v[0-9]*"  # names of the tags of releases
_DESCRIBED = re.compile(r"v(?P<release>\d[\w.]*?)(?:-(?P<ahead>\d+)-g(?P<commit>[0-9a-f]+))?")


@cache
def commit() -> str | None:
    """The commit that the clone is at, with `+changes` where tracked files differ from it.

    None where the package lies neither in a clone nor in an archive of one, and where git is not
    installed.
    """
    if not (CLONE / ".git").exists():
        return _archived().get("node")
    head = _git("rev-parse", "HEAD")
    return f"{head}+changes" if head and _changed() else head or None


@cache
def version() -> str:
    """The version of this code, as PEP 440 writes them.

    `0.1.0` at the tag v0.1.0; `0.1.0+5.g1a2b3c4` five commits after it; `0.1.0.dev340+g1a2b3c4` at
    commit 340 of a history without such a tag; `.changes` at the end where tracked files differ
    from the commit. Without git, what the archive or the installed package says, and
    `0.1.0+unknown` where nothing does.
    """
    if (CLONE / ".git").exists() and (head := _git("rev-parse", "--short=7", "HEAD")):
        described = _git("describe", "--tags", "--match", TAGS)
        ahead = _git("rev-list", "--count", "HEAD")
        return _spelled(described, head, ahead, changed=_changed())
    archived = _archived()
    if "node" in archived:
        return _spelled(archived.get("describe-name", ""), archived["node"][:7], "0")
    return _installed() or f"{RELEASE}+unknown"


def _spelled(described: str, head: str, count: str, changed: bool = False) -> str:
    """The version of a commit from what `git describe` says of it: nothing where no tag is near."""
    if tag := _DESCRIBED.fullmatch(described):
        public = tag["release"]
        local = [tag["ahead"], f"g{tag['commit'][:7]}"] if tag["ahead"] else []
    else:
        public, local = f"{RELEASE}.dev{count}", [f"g{head}"]
    local += ["changes"] if changed else []
    return "+".join(filter(None, [public, ".".join(local)]))


def _archived() -> dict[str, str]:
    """What git wrote into the archive that this copy was unpacked from; empty for any other."""
    try:
        lines = (CLONE / ".git_archival.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = dict(line.split(": ", 1) for line in lines if ": " in line)
    return {key: value for key, value in pairs.items() if value and "$Format" not in value}


def _installed() -> str | None:
    """The version of the installed distribution, if this very file is part of it."""
    try:
        distribution = metadata.distribution("ssl_ood")
    except metadata.PackageNotFoundError:
        return None
    ours = Path(str(distribution.locate_file("ssl_ood/common/commit.py")))
    return distribution.version if ours.exists() and ours.samefile(__file__) else None


def _changed() -> bool:
    return bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(CLONE), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
