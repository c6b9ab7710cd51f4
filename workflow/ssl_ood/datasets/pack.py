"""Packing: from the archives of a dataset to one memory-mappable array at the study's size.

One pass over the source, decoding and resizing in worker processes, written straight to disk:
memory does not grow with the dataset. A killed packing goes on where it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of_value
from ssl_ood.common.progress import Progress
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.datasets.catalogue import LOCAL, Dataset
from ssl_ood.datasets.decode import DecoderMissing, Decoding
from ssl_ood.datasets.decoding import decoded
from ssl_ood.datasets.names import CROP
from ssl_ood.datasets.notes import noted
from ssl_ood.datasets.packed import open_packed
from ssl_ood.datasets.partial import Partial, disk_errors, exclusive
from ssl_ood.datasets.readers import Source, open_split

IF_KILLED = "pack with fewer workers or more memory. What was packed so far is kept and continued"
OF_AN_ARCHIVE = ("file", "bytes", "sha256", "verified")  # what a packed set keeps of a manifest


def pack(
    dataset: Dataset,
    split: str,
    size: int,
    manifest: Mapping[str, Any] | Path,
    folder: Path,
    *,
    workers: int | None = None,
    fit: str = CROP,
    max_corrupt_share: float = 0.0,
    wait: bool = False,
) -> dict[str, Any]:
    """Packs a split at `size` x `size` pixels into `folder`; returns its metadata.

    fit: CROP or SQUASH, what becomes of images that are not square (`to_square`).

    The folder appears when it is whole, with images.npy (N, S, S, 3) uint8, labels.npy (N,)
    int64, files.txt, facts.csv and meta.json (see `packed.open_packed`). A set that is there
    already, from the same archives and code, is kept. `workers` decode (default: the cores this
    process may use; 1: no further process). Corrupt images are left out and named in the metadata;
    above `max_corrupt_share` of the images packing stops. If another process packs the same set,
    `wait` waits for it.

    Raises UserError for a wrong number of images, too many corrupt ones, a full or read-only
    disk, a set that is being packed, and whatever is wrong with the archives.
    """
    if isinstance(manifest, Path):
        manifest = read_manifest(manifest)
    spec = dataset.split(split)
    source = [{k: a[k] for k in OF_AN_ARCHIVE} for a in manifest["archives"]]
    fingerprint = _fingerprint(dataset, split, size, fit, source)
    if done := _finished(folder, fingerprint):  # nothing is written, so no lock is taken
        return done
    with exclusive(folder, wait):
        if folder.exists() and (done := _finished(folder, fingerprint)):  # by another process
            return done
        with disk_errors(folder):
            partial = Partial(folder, size, fingerprint)
        try:
            with disk_errors(folder), noted() as notes:
                opened = _write(partial, dataset, split, fit, manifest, workers, max_corrupt_share)
                passed_over = notes.counts()
                _say(f"{dataset.name} {split}", passed_over, partial.remarks, opened.facts)
                _check_count(partial, dataset, split, max_corrupt_share)
                return partial.finish(
                    {
                        "dataset": dataset.name,
                        "split": split,
                        "size": size,
                        "expected": spec.count,
                        "mode": dataset.options.get("mode", "RGB"),
                        "fit": fit,
                        "classes": opened.classes,
                        "passed_over": passed_over,
                        **opened.facts,
                        "source": source,
                        "code_version": VERSIONS["pack"],
                    }
                )
        finally:
            partial.close()


def read_manifest(path: Path) -> dict[str, Any]:
    """What fetch has written. Raises UserError for a file that is no such manifest."""
    manifest = read_json(path)
    try:
        whole = all({*OF_AN_ARCHIVE, "path"} <= archive.keys() for archive in manifest["archives"])
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UserError(
            f"{path} is not a manifest of archives: write it again with `ssl_ood fetch --manifest`."
        )
    return manifest


def _write(
    partial: Partial,
    dataset: Dataset,
    split: str,
    fit: str,
    manifest: Mapping[str, Any],
    workers: int | None,
    max_corrupt_share: float,
) -> Source:
    """Appends all images that are not packed yet; returns what they were read from."""
    expected = dataset.split(split).count
    decoding = Decoding.of(partial.size, fit, dataset.options, dataset.name)
    source = open_split(dataset, split, manifest, partial.scratch)
    items = islice(source.items, partial.items, None)
    title = f"packing {dataset.name} {split}"
    if partial.items:
        print(f"{title}: going on after {partial.items:,} images", file=sys.stderr, flush=True)
    with Progress(title, expected, "images", partial.items) as shown:
        for block, pixels, bad, remarks, facts in decoded(
            items,
            decoding,
            workers,
            hint=IF_KILLED,
        ):
            for place, error in bad.items():
                if isinstance(error, DecoderMissing):  # not the image's fault
                    raise UserError(f"{dataset.name} {split}: {block[place].name} is {error}.")
            partial.append(block, pixels, bad, remarks, facts)
            if bad and (expected or max_corrupt_share == 0):
                _check_corrupt(partial, dataset, split, max_corrupt_share, expected or 1)
            partial.commit()
            shown.add(len(block))
    partial.commit(force=True)
    return source


def _say(
    what: str,
    passed_over: Mapping[str, int],
    remarks: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Prints what a person may not expect of the archives; the metadata say it too."""
    if passed_over:
        names = ", ".join(f"{count:,} {kind}" for kind, count in passed_over.items())
        print(f"{what}: passed over or followed: {names}", file=sys.stderr)
    for remark, images in remarks.items():
        some = ", ".join(images["first"])
        print(f"{what}: {images['images']:,} image(s) {remark} ({some})", file=sys.stderr)
    if facts.get("copies"):
        print(
            f"{what}: {facts['copies']:,} image(s) have the content of another one; such copies "
            "are on one side of a split",
            file=sys.stderr,
        )


def _check_corrupt(
    partial: Partial, dataset: Dataset, split: str, share: float, count: int
) -> None:
    if len(partial.corrupt) <= share * count:
        return
    shown = "; ".join(partial.corrupt[:5])
    more = f" and {len(partial.corrupt) - 5} more" if len(partial.corrupt) > 5 else ""
    again = "Mend or remove them" if dataset.access == LOCAL else "Fetch the archive again"
    raise UserError(
        f"{dataset.name} {split}: {len(partial.corrupt)} image(s) cannot be decoded, more than the "
        f"{share:.2%} of {count:,} that max_corrupt_share allows: {shown}{more}. {again}, or raise "
        "max_corrupt_share to leave them out."
    )


def _check_count(partial: Partial, dataset: Dataset, split: str, share: float) -> None:
    spec = dataset.split(split)
    if partial.items != (spec.count or partial.items):
        text = (
            f"{dataset.name} {split} must have {spec.count:,} images, its archive holds "
            f"{partial.items:,}"
        )
        if spec.verified:
            partial.discard()
            raise UserError(f"{text}: it is incomplete or not the one the catalogue means.")
        print(f"{text}; that number was never verified, so it is taken.", file=sys.stderr)
    if partial.items == 0:
        partial.discard()
        raise UserError(f"{dataset.name} {split}: its archive holds no image.")
    _check_corrupt(partial, dataset, split, share, partial.items)
    if partial.rows == 0:
        partial.discard()
        raise UserError(f"{dataset.name} {split}: none of its images can be decoded.")


def _fingerprint(
    dataset: Dataset, split: str, size: int, fit: str, source: list[dict[str, Any]]
) -> str:
    spec = dataset.split(split)
    parts = {
        "dataset": dataset.name,
        "split": split,
        "size": size,
        "reader": dataset.reader,
        "options": dict(dataset.options),
        "split_options": dict(spec.options),
        "count": spec.count,
        "classes": dataset.classes,
        "source": [(a["file"], a["sha256"]) for a in source],
        "code_version": VERSIONS["pack"],
        **({} if dataset.group is None else {"group": dataset.group}),
        **({} if fit == CROP else {"fit": fit}),
    }
    return sha256_of_value(parts)[:16]


def _finished(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The metadata of the set in `folder` if it is whole and from the same source, else None."""
    try:
        packed = open_packed(folder)
    except UserError:
        return None
    if packed.meta.get("fingerprint") != fingerprint:
        return None
    try:
        packed.prove()
    except UserError:
        print(f"{folder} is damaged: packing it again", file=sys.stderr)
        return None
    for file in folder.iterdir():
        with suppress(PermissionError):  # it is another person's
            os.utime(file)  # else Snakemake takes it for older than its manifest, for ever
    return packed.meta
