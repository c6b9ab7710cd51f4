"""Where the archives of a dataset may lie on this machine. Quick to import: the Snakefile asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl_ood.datasets.catalogue import Archive, Dataset


def candidates(
    dataset: Dataset, archive: Archive, downloads: Path, archive_dirs: Sequence[Path]
) -> list[Path]:
    """Places where the archive may lie: DIR/{dataset}/FILE and DIR/FILE of each archive folder, or
    its own path."""
    if archive.path is not None:
        return [Path(archive.path)]
    places = [Path(d) / sub for d in archive_dirs for sub in (dataset.store, ".")]
    return [p / archive.file for p in [*places, downloads / dataset.store]]


def present(
    dataset: Dataset, archive: Archive, downloads: Path, archive_dirs: Sequence[Path]
) -> Path | None:
    """Where the archive lies, unverified, or None."""
    for path in candidates(dataset, archive, downloads, archive_dirs):
        is_there = path.is_dir() if archive.folder else path.is_file()
        if is_there or (archive.path is not None and path.is_dir()):
            return path
    return None


def failed_fetch(manifest: Path) -> Path:
    """The mark that a fetch leaves where no way in was left: `{time, reason}`, the time in seconds
    since the epoch; manifest: the one that it would have written."""
    return manifest.with_suffix(".failed.json")


def missing_restricted(
    datasets: Sequence[Dataset], archive_dirs: Sequence[Path], downloads: Path
) -> str | None:
    """One message that lists every archive only a person can get and that is not there, or None.

    Datasets that come out of the same archives are one line, under the name of their folder.
    """
    absent: dict[str, dict[str, None]] = {}  # files in order, each once, by folder
    how_to_get = {}
    for dataset in datasets:
        if dataset.free:
            continue
        for archive in dataset.archives:
            if not archive.optional and not present(dataset, archive, downloads, archive_dirs):
                absent.setdefault(dataset.store, {})[archive.file] = None
                how_to_get[dataset.store] = dataset.how_to_get
    if not absent:
        return None
    lines = [f"  {name}: {', '.join(files)}. {how_to_get[name]}." for name, files in absent.items()]
    where = ", ".join(map(str, archive_dirs)) or "a folder named under archive_dirs"
    return (
        "These archives cannot be downloaded without a person and are missing:\n"
        + "\n".join(lines)
        + f"\nPut each one, under its name, into {downloads}/DATASET or one of: {where}."
    )
