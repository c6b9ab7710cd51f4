"""Archives of a dataset: found where they lie or downloaded, verified, listed in a manifest."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.datasets.catalogue import Archive, Dataset
from ssl_ood.datasets.debian import fetch_debian_package
from ssl_ood.datasets.download import Hashes, Unavailable, download, hash_file
from ssl_ood.datasets.folders import files_below
from ssl_ood.datasets.impostors import LOOKED_AT, impostor
from ssl_ood.datasets.installed import installed_file
from ssl_ood.datasets.local import local_entry
from ssl_ood.datasets.places import candidates, missing_restricted
from ssl_ood.datasets.weights import Weights

# A server that has lost a file likes to send a web page in its place.
MAGIC = {".gz": b"\x1f\x8b", ".zip": b"PK", ".npy": b"\x93NUMPY", ".mat": b"MATLAB"}


class NotObtained(UserError):
    """Archives that lie nowhere and that no server gives."""


def fetch(
    dataset: Dataset | Weights,
    downloads: Path,
    archive_dirs: Sequence[Path] = (),
    manifest: Path | None = None,
    *,
    optional: bool = False,
    context: ssl.SSLContext | None = None,
) -> dict[str, Any]:
    """Makes sure that every archive of `dataset` is there and right; returns the manifest.

    Ways in, in this order: `archive_dirs` (used in place, never written to), what was downloaded
    before, the mirrors, Debian's package. `optional` also downloads archives that only some
    splits need; those are taken along anyway where they lie already. The manifest,
    `{dataset, archives: [{file, path, bytes, md5, sha256, verified, way}]}`, is written to
    `manifest` atomically; where the catalogue knows only the beginning of a checksum, `verified`
    is false and `compared` says so. Pre-trained weights are fetched in the same way.
    Raises UserError that says what was tried and which file to put where; NotObtained, which is
    one, where no way in is left.
    """
    folder = downloads / dataset.store
    entries: dict[str, dict[str, Any]] = {}
    refused: list[str] = []
    archives = [a for a in dataset.archives if not a.package]
    for archive in dataset.archives:
        if archive.package:
            path = installed_file(archive.file, archive.package)
            entries[archive.file] = _entry(
                archive, path, hash_file(path), f"package {archive.package}"
            )

    def look() -> list[Archive]:
        """Finds those that lie there; what is still missing."""
        refused.clear()
        for archive in archives:
            if archive.file not in entries:
                file = _find(dataset, archive, downloads, archive_dirs, refused)
                if file:
                    entries[archive.file] = file
        return [a for a in archives if a.file not in entries and (optional or not a.optional)]

    # Where nothing is missing nothing has to be written, and no lock is taken.
    if look():
        with _locked(folder):
            if missing := look():  # another process may have fetched them since
                _get(dataset, missing, folder, archive_dirs, entries, refused, context)
    result = {
        "dataset": dataset.name,
        "archives": [entries[a.file] for a in dataset.archives if a.file in entries],
    }
    if manifest is not None:
        write_json(manifest, result)
    return result


def check(archive: Archive, hashes: Hashes) -> str | None:
    """None if the digests are those of the catalogue (or it knows none), else what differs."""
    if not archive.verified:
        return None
    if any(hashes.sha256 == other["sha256"] for other in archive.also):
        return None
    for kind in ("sha256", "md5"):
        expected = getattr(archive, kind)
        digest = getattr(hashes, kind)
        if expected is not None and not digest.startswith(expected):  # it may be a prefix
            return f"{kind} expected {expected}, found {digest} ({hashes.bytes:,} bytes)"
    return None


def _get(
    dataset: Dataset | Weights,
    missing: Sequence[Archive],
    folder: Path,
    archive_dirs: Sequence[Path],
    entries: dict[str, dict[str, Any]],
    refused: list[str],
    context: ssl.SSLContext | None,
) -> None:
    """Downloads the missing archives into `folder`; raises UserError if no way works."""
    if not dataset.free:
        message = missing_restricted([dataset], archive_dirs, folder.parent)
        if message is None:  # a file lies there, but it is the wrong one
            message = f"{dataset.name} needs {', '.join(a.file for a in missing)}."
        raise UserError("\n".join([message, *refused]))
    tried, dead = list(refused), set()
    # With Debian's package as another way in, unreachable mirrors are not waited for.
    rounds = 1 if dataset.debian_package else 4
    left = []
    for archive in missing:
        target = folder / archive.file
        try:
            if not archive.urls:
                raise Unavailable("it has no address")
            hashes = download(
                archive.urls,
                target,
                lambda h, a=archive: check(a, h) or _not_that_kind(_part(folder, a), a),
                size=archive.bytes,
                most=_most(archive),
                rounds=rounds,
                dead_hosts=dead,
                context=context,
            )
            _remember(target, hashes)
            entries[archive.file] = _entry(archive, target, hashes, "download")
        except Unavailable as error:
            tried.append(f"{archive.file}: {error}.")
            left.append(archive)
    if left and dataset.debian_package:
        problem = fetch_debian_package(dataset.debian_package, [a.file for a in left], folder)
        if problem is not None:
            tried.append(problem)
        for archive in list(left):
            file = _verified_file(archive, folder / archive.file, "Debian's package", tried)
            if file:
                entries[archive.file] = file
                left.remove(archive)
    if left:
        places = ", ".join([*(str(d) for d in archive_dirs), str(folder)])
        raise NotObtained(
            f"{dataset.title} cannot be fetched: put {', '.join(a.file for a in left)} into one of "
            f"{places}. Tried: {' '.join(tried)}"
        )


def _find(
    dataset: Dataset | Weights,
    archive: Archive,
    downloads: Path,
    archive_dirs: Sequence[Path],
    refused: list[str],
) -> dict[str, Any] | None:
    """The manifest entry of an archive that lies there already; files that are wrong are said."""
    for path in candidates(dataset, archive, downloads, archive_dirs):
        own = path.parent == downloads / dataset.store
        way = "downloaded before" if own else "archive_dirs"
        if archive.path is not None:
            way = "its place on this disk"
        if (archive.folder or archive.path is not None) and path.is_dir():
            digest = _folder_digest(path) if archive.path is None else local_entry(archive)
            return {
                "file": archive.file,
                "path": str(path.resolve()),
                **digest,
                "md5": None,
                "verified": False,
                "way": way,
            }
        file = (
            None
            if archive.folder
            else _verified_file(archive, path, way, refused, downloads / dataset.store)
        )
        if file:
            return file
    return None


def _verified_file(
    archive: Archive, path: Path, way: str, refused: list[str], notes: Path | None = None
) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    hashes = _recall(path, notes or path.parent)
    problem = check(archive, hashes) or _not_that_kind(path, archive)
    if problem is not None:
        with open(path, "rb") as file:
            other = impostor(file.read(LOOKED_AT))
        problem = problem if other is None else f"it is {other} ({problem})"
        text = f"{path} is not the archive: {problem}; it was left as it is."
        refused.append(text)
        print(text, file=sys.stderr)
        return None
    return _entry(archive, path, hashes, way)


def _entry(archive: Archive, path: Path, hashes: Hashes, way: str) -> dict[str, Any]:
    prefix = archive.only_prefix
    return {
        "file": archive.file,
        "path": str(path.resolve()),
        "bytes": hashes.bytes,
        "md5": hashes.md5,
        "sha256": hashes.sha256,
        "verified": archive.verified and prefix is None,
        **({} if prefix is None else {"compared": f"only {prefix}"}),
        "way": way,
    }


def _folder_digest(folder: Path) -> dict[str, Any]:
    """Digest of the names and sizes in a folder: not of its content, but better than none."""
    digest, total = hashlib.sha256(), 0
    for file in files_below(folder):
        total += file.size
        digest.update(f"{file.name}\t{file.size}\n".encode("utf-8", "surrogateescape"))
    return {"bytes": total, "sha256": digest.hexdigest()}


def _note(path: Path, notes: Path) -> Path:
    return notes / f".{path.name}.verified.json"


def _remember(path: Path, hashes: Hashes, notes: Path | None = None) -> None:
    """Keeps the digests, so that 138 GiB are not read again for every manifest."""
    stat = path.stat()
    place = _note(path, notes or path.parent)
    write_json(
        place,
        {
            "path": str(path.resolve()),
            "mtime_ns": stat.st_mtime_ns,
            "bytes": hashes.bytes,
            "md5": hashes.md5,
            "sha256": hashes.sha256,
        },
    )


def _recall(path: Path, notes: Path) -> Hashes:
    """The digests of a file: remembered if it has not changed since, else computed."""
    stat = path.stat()
    try:
        note: Mapping[str, Any] = json.loads(_note(path, notes).read_text())
        same = (note["path"], note["mtime_ns"], note["bytes"]) == (
            str(path.resolve()),
            stat.st_mtime_ns,
            stat.st_size,
        )
        if same:
            return Hashes(note["md5"], note["sha256"], note["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    hashes = hash_file(path)
    with suppress(OSError):  # a folder that only others may write to
        _remember(path, hashes, notes)
    return hashes


def _not_that_kind(path: Path, archive: Archive) -> str | None:
    """What is wrong with the beginning of a file: for an archive without a checksum all we know."""
    if archive.verified:
        return None
    magic = MAGIC.get(Path(archive.file).suffix, b"")
    with open(path, "rb") as file:
        begins = file.read(LOOKED_AT)
    if not begins:
        return "it is empty"
    if not begins.startswith(magic) or impostor(begins) is not None:
        return f"it begins with {begins[: len(magic) or 20]!r}, as no such archive does"
    return None


def _part(folder: Path, archive: Archive) -> Path:
    return folder / f"{archive.file}.part"


def _most(archive: Archive) -> int | None:
    """Bytes that a download may have: those of the catalogue, or about as many in a wrapping."""
    return archive.bytes and archive.bytes + (1 << 20 if archive.also else 0)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time fetches into `folder`; the others wait and then find its files."""
    with ExitStack() as held:
        try:
            held.enter_context(
                locks.exclusive(folder / ".lock", f"fetching into {folder}", locks.FOREVER)
            )
        except OSError as error:
            raise UserError(
                f"The folder for downloads {folder} cannot be written to ({error.strerror}): "
                "set downloads_dir to one that can."
            ) from None
        yield
