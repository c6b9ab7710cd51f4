"""A packed set while it is being written: hidden, appended to, resumable, renamed when whole.

Beside the folder `train-32px` lie, while it is packed, `.train-32px.lock` and
`.train-32px.partial/` with the set so far (`set/`) and `journal.json`, which says how much of it
is on the disk for sure. What lies behind that is cut off when packing is resumed.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.proofs import sealed
from ssl_ood.datasets import facts
from ssl_ood.datasets.packed import CHECKSUMS, OPTIONAL
from ssl_ood.datasets.readers import Item
from ssl_ood.datasets.text import printable

HEADER = 128  # bytes of every images.npy before its first pixel
REMARKED = 5  # names of images that are kept with a remark on them
COMMIT_SECONDS = 5.0  # between two entries in the journal: what a kill can cost


class Partial:
    """The set being written to `folder` (its final name); use within `exclusive(folder)`."""

    def __init__(self, folder: Path, size: int, fingerprint: str) -> None:
        self.folder, self.size, self.fingerprint = folder, size, fingerprint
        self.work = folder.with_name(f".{folder.name}.partial")
        self.set = self.work / "set"
        self.scratch = self.work / "scratch"
        self.items = 0  # images of the source that are done with, corrupt ones too
        self.rows = 0  # images written
        self.names_bytes = self.facts_bytes = 0
        self.corrupt: list[str] = []
        self.remarks: dict[str, dict[str, Any]] = {}  # {remark: {images, first: names}}
        self.sums = [0] * 6  # over all pixels: of each channel, then of each channel squared
        self.committed = time.monotonic()
        if not self._resume():
            shutil.rmtree(self.work, ignore_errors=True)
            self.set.mkdir(parents=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.images_file = self._open("images.npy", HEADER + self.rows * self.row_bytes)
        self.labels_file = self._open("labels.npy", HEADER + self.rows * 8)
        self.names_file = self._open("files.txt", self.names_bytes)
        self.facts_file = self._open(facts.FILE, self.facts_bytes)
        if not self.facts_bytes:
            self.facts_bytes += self.facts_file.write(facts.HEADER.encode())

    @property
    def _files(self) -> tuple[io.BufferedRandom, ...]:
        return self.images_file, self.labels_file, self.names_file, self.facts_file

    @property
    def row_bytes(self) -> int:
        """Bytes of an image."""
        return self.size * self.size * 3

    def append(
        self,
        items: Sequence[Item],
        pixels: np.ndarray,
        bad: Mapping[int, Exception],
        remarks: Mapping[int, Sequence[str]],
        told: Sequence[facts.Facts],
    ) -> None:
        """Adds the next items of the source: pixels (n, S, S, 3) of those that are not `bad`.

        bad: why each of the others, by its place among the items, cannot be decoded; remarks: what
        is remarkable about the good ones; told: the facts of each of those.
        """
        good = [item for i, item in enumerate(items) if i not in bad]
        self.images_file.write(np.ascontiguousarray(pixels).data)
        self.labels_file.write(np.array([item.label for item in good], "<i8").tobytes())
        lines = "".join(f"{printable(item.name)}\n" for item in good)
        names = lines.encode()
        self.names_file.write(names)
        self.names_bytes += len(names)
        lines = "".join(fact.line() for fact in told)
        self.facts_bytes += self.facts_file.write(lines.encode())
        self.rows += len(good)
        self.items += len(items)
        self.corrupt += [f"{printable(items[i].name)}: {reason}" for i, reason in bad.items()]
        for i, texts in remarks.items():
            for text in texts:
                known = self.remarks.setdefault(text, {"images": 0, "first": []})
                known["images"] += 1
                if len(known["first"]) < REMARKED:
                    known["first"].append(printable(items[i].name))
        values = np.arange(256)
        for channel in range(3):  # whole numbers: exact, whatever the order of the blocks
            histogram = np.bincount(pixels[..., channel].ravel(), minlength=256)
            self.sums[channel] += int(histogram @ values)
            self.sums[3 + channel] += int(histogram @ values**2)

    def commit(self, force: bool = False) -> None:
        """Makes sure that what was added outlives a kill, every few seconds or by `force`."""
        if not force and time.monotonic() - self.committed < COMMIT_SECONDS:
            return
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        write_json(
            self.work / "journal.json",
            {
                "fingerprint": self.fingerprint,
                "items": self.items,
                "rows": self.rows,
                "names_bytes": self.names_bytes,
                "facts_bytes": self.facts_bytes,
                "corrupt": self.corrupt,
                "remarks": self.remarks,
                "sums": self.sums,
            },
        )
        self.committed = time.monotonic()

    def finish(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Completes headers, statistics and checksums and gives the set its name; returns meta."""
        shape = (self.rows, self.size, self.size, 3)
        self._write_header(self.images_file, "|u1", shape)
        self._write_header(self.labels_file, "<i8", (self.rows,))
        self.close()
        pixels = self.rows * self.size * self.size
        mean = [s / pixels for s in self.sums[:3]]
        std = [
            max(q / pixels - m * m, 0.0) ** 0.5 for q, m in zip(self.sums[3:], mean, strict=True)
        ]
        meta = {
            **meta,
            "count": self.rows,
            "channel_mean": [m / 255 for m in mean],
            "channel_std": [s / 255 for s in std],
            **{key: sha256_of(self.set / name) for key, name in (CHECKSUMS | OPTIONAL).items()},
            "corrupt": self.corrupt,
            "remarks": self.remarks,
            "fingerprint": self.fingerprint,
        }
        meta = sealed(meta)
        write_json(self.set / "meta.json", meta)
        if self.folder.exists():  # Snakemake makes the folders of its outputs beforehand
            shutil.rmtree(self.work / "old", ignore_errors=True)
            os.rename(self.folder, self.work / "old")
        os.rename(self.set, self.folder)
        self.discard()
        return meta

    def discard(self) -> None:
        """Removes all that is not finished."""
        self.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def close(self) -> None:
        """Closes the files. What is not committed by then does not count, on a full disk either."""
        for file in self._files:
            with suppress(OSError):
                file.close()

    def _open(self, name: str, length: int) -> io.BufferedRandom:
        path = self.set / name
        path.touch()
        file = open(path, "rb+")  # noqa: SIM115
        file.truncate(length)
        file.seek(length)
        return file

    def _resume(self) -> bool:
        try:
            journal = json.loads((self.work / "journal.json").read_text())
            if journal["fingerprint"] != self.fingerprint:
                return False
            lengths = {
                "images.npy": HEADER + journal["rows"] * self.row_bytes,
                "labels.npy": HEADER + journal["rows"] * 8,
                "files.txt": journal["names_bytes"],
                facts.FILE: journal["facts_bytes"],
            }
            if any((self.set / n).stat().st_size < size for n, size in lengths.items()):
                return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self.items, self.rows = journal["items"], journal["rows"]
        self.names_bytes, self.corrupt = journal["names_bytes"], journal["corrupt"]
        self.facts_bytes = journal["facts_bytes"]
        self.sums, self.remarks = journal["sums"], journal.get("remarks", {})
        return True

    @staticmethod
    def _write_header(file: io.BufferedRandom, dtype: str, shape: tuple[int, ...]) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": dtype, "fortran_order": False, "shape": shape}
        )
        content = header.getvalue()
        assert len(content) == HEADER, len(content)
        file.flush()
        file.seek(0)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def exclusive(folder: Path, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a packed set.

    Raises UserError if another process holds it (unless `wait`) or the folder cannot be made.
    """
    lock, patience = folder.with_name(f".{folder.name}.lock"), locks.FOREVER if wait else 0.0
    with ExitStack() as held:
        with disk_errors(folder):
            held.enter_context(locks.exclusive(lock, f"packing {folder}", patience))
        yield


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns a full disk and a folder that cannot be written to into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"The disk of {folder.parent} is full: free some space and start again. What was "
                "packed so far is kept and continued."
            ) from None
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"{folder} cannot be written to ({error.strerror}: {error.filename}): set "
                "results_dir to a folder that can."
            ) from None
        raise
