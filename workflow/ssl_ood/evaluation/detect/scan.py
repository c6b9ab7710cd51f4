"""Goes through a folder of new images and writes what came of each, in memory that does not grow.

Of every image its score stays in memory; of the most anomalous ones the pixels, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say
from ssl_ood.common.progress import Progress
from ssl_ood.evaluation.detect.files import NEIGHBOURS, Spool, write_tables
from ssl_ood.evaluation.detect.source import Unreadable, count_files

if TYPE_CHECKING:
    from ssl_ood.evaluation.detect.detector import Detector
    from ssl_ood.evaluation.detect.maps import Mapper

ROWS = 4096  # images that are scored together, at most
PIXELS = 64 << 20  # bytes of theirs
TABLE_ROWS = 1000  # of the most anomalous images, that the page's table has
Blocks = Iterator[tuple[list[str], np.ndarray, int]]


@dataclass(frozen=True)
class Shown:
    """One of the most anomalous images: its place in the folder, (S, S, 3) uint8, and where heat
    maps were asked for its (g, g) float32 one."""

    index: int
    pixels: np.ndarray
    heat: np.ndarray | None = None


@dataclass
class Found:
    """What came of a folder: scores (m,) in its order, the most anomalous images by rank, and the
    rows of the page's table by rank."""

    scores: np.ndarray
    shown: list[Shown]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ranks(self) -> np.ndarray:
        """(m,) from 1; of equal scores the first in the folder comes first."""
        ranks = np.empty(len(self.scores), np.int64)
        ranks[np.argsort(-self.scores, kind="stable")] = np.arange(1, len(self.scores) + 1)
        return ranks


def ahead(blocks: Blocks) -> Blocks:
    """The same blocks; the first is made in a thread, while this process imports what it needs."""
    thread = ThreadPoolExecutor(1)
    first = thread.submit(next, blocks, None)
    thread.shutdown(wait=False)

    def rest() -> Blocks:
        begun = first.result()
        if begun is not None:
            yield begun
            yield from blocks

    return rest()


def scan(
    detector: Detector,
    blocks: Blocks,
    spool: Spool,
    rate: float,
    total: Callable[[], int | None],
    most: int,
    mapper: Mapper | None = None,
) -> Found:
    """Scores the images of the blocks into `spool`; `most` of them are kept to be shown.

    rate: of false alarms; total: files to look at, None as long as that is unknown.
    """
    scores: list[np.ndarray] = []
    shown: list[tuple[float, Shown]] = []
    with Progress("scoring", None, "files") as progress:
        for names, pixels, looked_at in rechunked(blocks, detector.batch, _most_rows(detector)):
            progress.total = total()
            progress.add(looked_at)
            if not len(pixels):
                continue
            features = detector.features(pixels)
            values = detector.score_pixels(pixels, features)
            heat = mapper.add(pixels) if mapper else None
            columns = {
                "name": names,
                "score": values,
                "p": detector.p_values(values),
                "flagged": detector.flagged(values, rate),
            }
            spool.add(columns, *detector.neighbours(features, NEIGHBOURS))
            shown = _most_anomalous(shown, sum(map(len, scores)), values, pixels, heat, most)
            if not scores:
                say_ready()
            scores.append(values)
    if not scores:
        return Found(np.empty(0), [])
    return Found(np.concatenate(scores), [kept for _, kept in shown])


def _most_rows(detector: Detector) -> int:
    size = detector.files.settings.size
    return max(1, min(ROWS, PIXELS // (3 * size * size)) // detector.batch) * detector.batch


def rechunked(blocks: Blocks, batch: int, rows: int) -> Blocks:
    """The same images in chunks of `batch`, then of up to `rows`, a multiple of it.

    Whatever images between them could not be read: the groups that go through the network together
    are those of the evaluation. The first chunk is small, so that its scores come soon.
    """
    names: list[str] = []
    pixels: list[np.ndarray] = []
    waiting = looked_at = 0
    target = batch
    for block_names, block, count in blocks:
        names += block_names
        pixels.append(block)
        waiting, looked_at = waiting + len(block), looked_at + count
        while waiting >= target:
            together = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
            yield names[:target], together[:target], looked_at
            names, pixels = names[target:], [together[target:]]
            waiting, looked_at, target = waiting - target, 0, min(2 * target, rows)
    if waiting or looked_at:
        yield names, np.concatenate(pixels), looked_at


def _most_anomalous(
    shown: list[tuple[float, Shown]],
    first: int,
    scores: np.ndarray,
    pixels: np.ndarray,
    heat: np.ndarray | None,
    most: int,
) -> list[tuple[float, Shown]]:
    """The `most` most anomalous of those so far and of a chunk, whose first image is `first`."""
    best = np.argsort(-scores, kind="stable")[:most]
    for i in best:
        own = None if heat is None else heat[i].copy()
        shown = [*shown, (float(scores[i]), Shown(first + int(i), pixels[i].copy(), own))]
    shown.sort(key=lambda pair: (-pair[0], pair[1].index))
    return shown[:most]


def write_found(found: Found, spool: Spool, output: Path, about: dict[str, Any]) -> None:
    """Writes the tables of all images to `output`, and keeps the rows of the most anomalous."""
    rows: list[dict[str, Any]] = []

    def seen(batch: Any) -> None:
        import pyarrow.compute as pc

        top = batch.filter(pc.less_equal(batch.column("rank"), TABLE_ROWS))
        rows.extend(top.to_pylist())

    write_tables(spool.batches(found.ranks), output, about, seen)
    found.rows = sorted(rows, key=lambda row: row["rank"])


def counted(path: Path) -> Callable[[], int | None]:
    """Begins to count the files of `path` in a thread; the function gives the number, None as long
    as it is unknown."""
    thread = ThreadPoolExecutor(1)
    future = thread.submit(count_files, path)
    thread.shutdown(wait=False)
    return lambda: future.result() if future.done() and not future.exception() else None


def refuse_nothing(found: Found, unreadable: Unreadable, path: Path) -> None:
    """Raises UserError where no image could be read."""
    if len(found.scores):
        return
    if unreadable.count:
        name, why = unreadable.first[0]
        raise UserError(
            f"None of the {unreadable.count:,} images of {path} can be read; the first, {name}, "
            f"{why}."
        )
    raise UserError(f"{path} holds no image: name a folder with images or DICOM files below it.")


def say_ready() -> None:
    """Tells how long it took from the start of this process to the first scores."""
    import psutil

    say(f"ready after {time.time() - psutil.Process().create_time():.1f} s")
