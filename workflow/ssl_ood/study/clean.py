"""What a results folder holds, by kind, and the removal of what is not needed any more.

    ssl_ood clean --results results                        lists the kinds with their sizes
    ssl_ood clean checkpoints features --results results   removes these two

Nothing outside the results folder is removed: a link inside it goes, what it points to stays. Where
the folder of a kind is a link itself, say to another disk, what lies in its target is that kind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ssl_ood.common.errors import UserError, unknown
from ssl_ood.common.files import read_json
from ssl_ood.common.locks import Busy, exclusive, is_held

SILENT = 120.0  # seconds without a word after which a training is no longer taken for running
MARKS = ("runs/*/config.json", "archives/*.json", "data/*/*/meta.json", "schema.json")


@dataclass(frozen=True)
class Kind:
    """Files of one kind. again: what it costs to make them again, in words.

    for_training: whether trainings read them, so that they stay while one runs.
    """

    paths: tuple[str, ...]
    again: str
    for_training: bool = False


KINDS = {
    "checkpoints": Kind(("checkpoints",), "nothing, but trainings that have not ended start again"),
    "features": Kind(
        ("features", "thumbnails", "names"), "minutes per run, on a GPU; of a bundle, unbundling it"
    ),
    "scores": Kind(("scores",), "minutes per run, and its features"),
    "measurements": Kind(("measurements", "metrics"), "minutes per run, and its features"),
    "shortcuts": Kind(("shortcuts",), "minutes each"),
    "tables": Kind(("tables",), "seconds"),
    "figures": Kind(("figures",), "seconds"),
    "negatives": Kind(("negatives",), "minutes"),
    "packed": Kind(("data",), "minutes to hours for each set", for_training=True),
    "weights": Kind(("weights",), "minutes", for_training=True),
    "archives": Kind(("archives", "downloads"), "the downloads, or a check of what is there"),
    "scans": Kind(("scans",), "seconds: what was seen of images of one's own"),
    "runs": Kind(("runs",), "every training", for_training=True),
    "logs": Kind(("logs", "snakemake.log"), "not possible; nothing depends on them"),
    "benchmarks": Kind(("benchmarks",), "not possible; the costs are taken from them"),
}


def add_parser(stages) -> None:
    """Adds the subcommand to the parser of `ssl_ood`."""
    words = "what a results folder holds, by kind, and removing it"
    parser = stages.add_parser("clean", help=words)
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"what to remove: {', '.join(KINDS)}"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="FOLDER")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.set_defaults(run=_clean)


def _clean(options: argparse.Namespace) -> None:
    results, kinds = options.results, list(dict.fromkeys(options.kinds))
    for kind in kinds:
        if kind not in KINDS:
            raise unknown(kind, KINDS, "kind of files")
    if not any(True for mark in MARKS for _ in results.glob(mark)):
        raise UserError(
            f"{results} is not a results folder of this workflow: name one by --results."
        )
    print(describe(results, kinds))
    if not kinds:
        return
    refuse_while_used(results, kinds)
    if not options.yes and not _agreed():
        raise UserError("nothing was removed: answer y, or add --yes.")
    freed = 0
    for kind in kinds:
        amount, kept = remove(results, kind)
        freed += amount
        for path in kept:
            print(f"kept: {path} belongs to a training that is running")
    print(f"{size(freed)} are free again.")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Remove these? [y/N] ").strip().lower() in ("y", "yes")


def describe(results: Path, kinds: list[str]) -> str:
    """One line for each kind that is there, or for those named; for all, what else there is."""
    lines, total = [], 0
    for kind in kinds or KINDS:
        places = existing(results, kind)
        amount, files = map(sum, zip((0, 0), *map(usage, places), strict=True))
        total += amount
        if files or kinds:
            links = "".join(f" (in {path.resolve()})" for path in places if path.is_symlink())
            count = f"{files} file" + "s" * (files != 1)
            lines.append((kind + links, size(amount), count, f"again: {KINDS[kind].again}"))
    if not kinds:
        known = {path for kind in KINDS.values() for path in kind.paths}
        rest = [usage(path) for path in results.iterdir() if path.name not in known]
        total += (others := sum(amount for amount, _ in rest))
        count = f"{sum(files for _, files in rest)} files"
        lines.append(("all else", size(others), count, "stays"))
    lines.append(("total", size(total), "", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{name:{widths[0]}}  {amount:>{widths[1]}}  {count:>{widths[2]}}  {again}".rstrip()
        for name, amount, count, again in lines
    )


def existing(results: Path, kind: str) -> list[Path]:
    """The folders and files of a kind that are there. Raises UserError for a link to a folder that
    holds the results themselves."""
    places = [results / name for name in KINDS[kind].paths]
    places = [path for path in places if path.exists()]
    for path in places:
        if path.is_symlink() and results.resolve().is_relative_to(path.resolve()):
            raise UserError(
                f"{path} is a link to {path.resolve()}, which holds the results themselves: "
                "remove that link."
            )
    return places


def usage(path: Path) -> tuple[int, int]:
    """(bytes on the disk, number of files) of a file or a folder; links inside are not followed."""
    if not path.is_dir():
        return _bytes(path), 1
    amount = files = 0
    for folder, _, names in os.walk(path):
        files += len(names)
        amount += sum(_bytes(Path(folder, name)) for name in names)
    return amount, files


def _bytes(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError:
        return 0  # it is just being replaced
    return status.st_blocks * 512


def size(amount: int) -> str:
    """`3.2 GB`, `12 MB`, `0 MB`."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9)):
        if amount >= factor:
            return f"{amount / factor:.1f} {unit}"
    return f"{amount / 10**6:.1f} MB" if 0 < amount < 10**7 else f"{amount / 10**6:.0f} MB"


def refuse_while_used(results: Path, kinds: list[str]) -> None:
    """Raises UserError where a kind is read by a running training, or is just being written."""
    training = running(results)
    for kind in kinds:
        if training and KINDS[kind].for_training:
            raise UserError(
                f"{kind} may be read by the training of {training[0]}, which is running: "
                f"wait for its end, or leave out {kind}."
            )
        if kind == "checkpoints":
            continue  # run by run
        for place in existing(results, kind):
            if any(_is_lock(path) and is_held(path) for path in place.rglob("*lock")):
                raise UserError(f"{place} is just being written: wait for its end.")


def running(results: Path) -> list[str]:
    """The runs that are being trained: their lock is held, or they told their progress just now
    (a training on another machine, over a disk without locks)."""
    runs = {lock.parent.name for lock in results.glob("checkpoints/*/lock") if is_held(lock)}
    for path in results.glob("progress/*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if time.time() - read_json(path)["updated"] < SILENT:
                runs.add(path.stem)
    return sorted(runs)


def _is_lock(path: Path) -> bool:
    return path.name == "lock" or path.name.endswith(".lock")


def remove(results: Path, kind: str) -> tuple[int, list[Path]]:
    """Removes a kind; (bytes that are free again, folders of running trainings, which stay)."""
    freed, kept = 0, []
    for place in existing(results, kind):
        if kind != "checkpoints":
            freed += _remove(place, top=True)
            continue
        training = running(results)
        for folder in sorted(place.iterdir()):
            if folder.is_symlink() or not folder.is_dir():
                freed += _remove(folder)
            elif folder.name in training:
                kept.append(folder)
            else:
                try:
                    with exclusive(folder / "lock", "removing this run's checkpoints"):
                        freed += _remove(folder)
                except Busy:  # it began just now
                    kept.append(folder)
    return freed, kept


def _remove(path: Path, *, top: bool = False) -> int:
    """Removes a file, a link, or a folder with all but its lock files; the bytes that are free.

    A lock file stays, for another process may be about to lock it; so does the folder of a kind
    that is a link (top), emptied.
    """
    try:
        if path.is_dir() and (top or not path.is_symlink()):
            freed = sum(_remove(inner) for inner in list(path.iterdir()))
            if not path.is_symlink():
                with contextlib.suppress(OSError):  # a lock file is left in it
                    path.rmdir()
            return freed
        if _is_lock(path) and not path.is_symlink():
            return 0
        last_name = path.lstat().st_nlink == 1
        freed = _bytes(path) if last_name else 0
        path.unlink()
        return freed
    except OSError as error:
        raise UserError(
            f"{path} cannot be removed ({error.strerror}); what was removed before it is gone."
        ) from None
