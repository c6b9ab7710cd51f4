"""`ssl_ood detect`: every image of a folder scored, ranked and flagged by a trained run.

Writes to the output folder detected.csv, detected.parquet, unreadable.csv, detected.json (what was
run) and, with maps, maps.npy; the page is written by whoever calls this.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ood.common.commit import commit, version
from ssl_ood.common.files import atomic_path, write_json
from ssl_ood.common.log import say
from ssl_ood.evaluation.detect.files import Spool, writable
from ssl_ood.evaluation.detect.quick_timm import import_timm
from ssl_ood.evaluation.detect.run_files import ChosenScore, RunFiles, choose_score, opened_run
from ssl_ood.evaluation.detect.scan import Found, ahead, counted, refuse_nothing, scan, write_found
from ssl_ood.evaluation.detect.source import Unreadable, check_path, images_of

if TYPE_CHECKING:
    import torch

    from ssl_ood.evaluation.detect.detector import Detector
    from ssl_ood.evaluation.detect.kept import TrainImages

CONFIDENCE = 0.95  # of the interval of false alarms


@dataclass(frozen=True)
class Wanted:
    """What a person asks for. false_alarms: the rate, 0 to 1; score: NAME or NAME@TAU, None: the
    first of the study; thumbnails: images that are shown; workers: processes that decode."""

    folder: Path
    output: Path
    false_alarms: float = 0.05
    score: str | None = None
    thumbnails: int = 60
    maps: bool = False
    workers: int | None = None


@dataclass(frozen=True)
class Detection:
    """What came of a folder; about: as detected.json has it; calibration: sorted scores (n,)."""

    about: dict[str, Any]
    found: Found
    calibration: np.ndarray
    unreadable: Unreadable
    train: TrainImages


def detect(
    model: Path,
    wanted: Wanted,
    device: Callable[[], torch.device],
    show: Callable[[Detection], None],
) -> dict[str, Any]:
    """Scores the images of a folder, writes what came of them, and returns what was run.

    device: is asked once torch is there; show: is called at the end, while the run is open, to make
    the page. Raises UserError for what is not a run, for what is not a folder of images, and for a
    rate that the calibration images are too few for.
    """
    check_path(wanted.folder)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(opened_run(model))
        chosen = choose_score(files, wanted.score)
        unreadable = Unreadable(stack.enter_context(_told(wanted.output)))
        blocks = images_of(wanted.folder, files.decoding, unreadable, wanted.workers)
        blocks, total = ahead(blocks), counted(wanted.folder)
        import_timm()
        from ssl_ood.evaluation.detect.detector import Detector
        from ssl_ood.evaluation.detect.kept import TrainImages

        detector = Detector(files, chosen, device())
        k = detector.calibration.allowed(wanted.false_alarms)  # refused before it scores anything
        train = TrainImages(files, detector.trained)
        mapper = None
        if wanted.maps:
            from ssl_ood.evaluation.detect.maps import Mapper

            mapper = stack.enter_context(Mapper.made(detector, wanted.output))
        spool = stack.enter_context(contextlib.closing(Spool(wanted.output, train.names)))
        found = scan(detector, blocks, spool, wanted.false_alarms, total, wanted.thumbnails, mapper)
        refuse_nothing(found, unreadable, wanted.folder)
        about = _about(detector, files, chosen, wanted, found, unreadable, k)
        if mapper is not None:
            about["maps"] = mapper.finish(wanted.output)
        write_found(found, spool, wanted.output, about)
        with writable(wanted.output):
            write_json(wanted.output / "detected.json", about)
        show(Detection(about, found, detector.calibration.scores, unreadable, train))
    return about


def _about(
    detector: Detector,
    files: RunFiles,
    chosen: ChosenScore,
    wanted: Wanted,
    found: Found,
    unreadable: Unreadable,
    k: int,
) -> dict[str, Any]:
    """What was run and what came of it; no absolute path, no time: the same for the same images."""
    rate, m = wanted.false_alarms, len(found.scores)
    low, high = detector.calibration.false_alarms(rate, m, CONFIDENCE)
    flagged = int(detector.flagged(found.scores, rate).sum())
    settings = files.settings
    return {
        "folder": wanted.folder.absolute().name,
        "images": m,
        "unreadable": unreadable.count,
        "other_files": unreadable.others,
        "flagged": flagged,
        "run": files.run,
        "study": settings.study,
        "in_distribution": settings.in_distribution,
        "method": settings.method,
        "strategy": settings.strategy,
        "variant": settings.variant,
        "seed": settings.seed,
        "size": settings.size,
        "fit": settings.fit,
        "weights_sha256": detector.model.sha256,
        "code": {"version": version(), "commit": commit()},
        "score": chosen.column,
        "score_title": chosen.entry.title,
        "score_because": chosen.reason,
        "calibration": {
            "set": files.calibration.name,
            "images": len(detector.calibration),
            "role": files.calibration_role,
        },
        "false_alarms": {
            "rate": rate,
            "rank_of_threshold": k,
            "threshold": detector.calibration.threshold(rate),
            "confidence": CONFIDENCE,
            "low": low,
            "high": high,
        },
    }


@contextlib.contextmanager
def _told(output: Path) -> Iterator[Callable[[str, str], None]]:
    """Writes unreadable.csv: the name and the reason of every image that cannot be read."""
    with writable(output):
        output.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(output / "unreadable.csv") as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason"))
        yield lambda name, why: (rows.writerow((name, why)), None)[1]


def summary(about: dict[str, Any]) -> list[str]:
    """The summary of a scan in a few lines."""
    alarms = about["false_alarms"]
    lines = [
        f"{about['flagged']:,} of {about['images']:,} images are flagged by {about['score']} at a "
        f"rate of false alarms of {alarms['rate']:.1%}; of as many normal images "
        f"{alarms['low']:,} to {alarms['high']:,} would be ({alarms['confidence']:.0%} interval)."
    ]
    if about["unreadable"]:
        lines.append(f"{about['unreadable']:,} images cannot be read: see unreadable.csv.")
    if about["other_files"]:
        lines.append(f"{about['other_files']:,} files are no images.")
    return lines


def say_summary(about: dict[str, Any]) -> None:
    """Tells the log."""
    for line in summary(about):
        say(line)
