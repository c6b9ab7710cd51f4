"""Opens a bundle, whoever made it: everything is checked before anybody reads it.

The zip first (`zipped`): sizes within what the file holds, names within the layout, none twice, no
links, nothing packed. Then the manifest: its seal, and each member's size and checksum. Then that
the zip is byte for byte the one that these members make. Then what the members say (`content`):
that the weights are those which this run's training wrote, and all else was made from them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import SEAL, is_whole
from ssl_ood.datasets.archives.content import ZipRef
from ssl_ood.datasets.archives.names import shown
from ssl_ood.evaluation.bundles.content import check_content
from ssl_ood.evaluation.bundles.layout import (
    CARD,
    FORMAT,
    MANIFEST,
    RUN,
    VERSION,
    is_member,
    place_of,
    required,
)
from ssl_ood.evaluation.bundles.zipped import is_as_written, read_zip, refused, unpack

MOST_TEXT = 64 << 20  # bytes of a member that is text


@contextmanager
def opened_bundle(path: Path) -> Iterator[tuple[Path, str]]:
    """A bundle, verified and unpacked into a private folder, which goes when the block ends.

    Yields (results, run): a folder laid out as a results folder, with this run alone. Its manifest
    is runs/RUN/bundle.json there. Raises UserError for what is not a bundle or not as it was
    written.
    """
    if not path.is_file():
        raise UserError(f"There is no bundle {path}: name a file that `ssl_ood bundle` wrote.")
    members = read_zip(path)
    with _private_folder() as folder:
        unpack(_text(members, MANIFEST, path), folder / MANIFEST, path)
        manifest = read_manifest(folder / MANIFEST, path)
        run = manifest["run"]
        _check_names(members, manifest, path)
        (folder / MANIFEST).rename(_made(folder / place_of(MANIFEST, run)))
        sums = {entry["name"]: entry["sha256"] for entry in manifest["members"]}
        for name, expected in sums.items():
            place = folder / place_of(name, run)
            unpack(members[name], place, path)
            if sha256_of(place) != expected:
                raise refused(path, f"{name} is not what its manifest says")
        places = {name: folder / place_of(name, run) for name in members}
        if not is_as_written(path, places):
            raise refused(path, "a byte of it is another than when it was written")
        check_content(folder, run, path)
        yield folder, run


def read_manifest(file: Path, path: Path) -> dict[str, Any]:
    """The manifest in `file`, of the bundle `path`. Raises UserError for what is none."""
    try:
        manifest = read_json(file)
        known = isinstance(manifest, dict) and manifest.get("format") == FORMAT
        if not known or SEAL not in manifest or not is_whole(manifest):
            raise refused(path, "its manifest is that of no bundle, or was altered")
        version = manifest["version"]
        if version != VERSION:
            raise UserError(
                f"The bundle {path} is of version {version!s:.20}, this program reads {VERSION}: "
                "update this clone, or ask for a bundle of this version."
            )
        run, members = manifest["run"], manifest["members"]
        sizes = [(str(m["name"]), int(m["bytes"]), str(m["sha256"])) for m in members]
        right = isinstance(run, str) and RUN.fullmatch(run) and len(run) <= 200 and sizes
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        right = None
    if not right:
        raise refused(path, "its manifest is damaged")
    return manifest


def _check_names(members: Mapping[str, ZipRef], manifest: Mapping[str, Any], path: Path) -> None:
    """Raises UserError unless the members are those that the manifest lists, and a bundle has."""
    run = manifest["run"]
    for name in members:
        if not is_member(name, run):
            raise refused(path, f"no bundle of {run} has a member {shown(name)}")
    listed = {entry["name"]: entry["bytes"] for entry in manifest["members"]}
    sizes = {name: data.size for name, data in members.items() if name != MANIFEST}
    if listed != sizes or len(listed) != len(manifest["members"]):
        raise refused(path, "its members are not those that its manifest lists")
    for name in (CARD, *required(run)):
        if name not in sizes:
            raise refused(path, f"it lacks {name}")
    for name in sizes:
        if not name.endswith((".safetensors", ".parquet", ".npy")):
            _text(members, name, path)


def _text(members: Mapping[str, ZipRef], name: str, path: Path) -> ZipRef:
    """A member that is text. Raises UserError where it is missing or larger than texts are."""
    if name not in members:
        raise refused(path, f"it lacks {name}")
    if members[name].size > MOST_TEXT:
        raise refused(path, f"{name} has {members[name].size:,} bytes")
    return members[name]


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this user may enter, removed in the end."""
    try:
        made = tempfile.TemporaryDirectory(prefix="ssl_ood-bundle-")
    except OSError as error:
        raise UserError(
            f"There is no place to unpack the bundle ({reason(error)}): set TMPDIR to a folder "
            "that can be written."
        ) from None
    with made as folder:
        yield Path(folder)
