"""Puts the run of a bundle into a results folder, where the workflow counts it as made."""

from __future__ import annotations

import shutil
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, writing
from ssl_ood.common.hashing import sha256_of
from ssl_ood.evaluation.bundles.layout import (
    MANIFEST,
    OF_IMAGES,
    TOP,
    files_of,
    place_of,
    required,
)
from ssl_ood.evaluation.bundles.opened import opened_bundle
from ssl_ood.study.bundled import SHORTCUTS
from ssl_ood.study.left_behind import left_trainings


def unbundle(path: Path, results: Path, *, force: bool = False) -> tuple[str, bool]:
    """Brings a bundle into `results`; its run, and whether anything was written.

    Every file appears whole or not at all, the mark that the run came as a bundle last: until then
    the workflow takes the run for one of its own. Raises UserError for what is not a bundle and,
    without `force`, where another run of that name is there.
    """
    with opened_bundle(path) as (folder, run):
        if who := left_trainings(results).get(run):
            raise UserError(
                f"{run} is being trained in {results} ({who}): wait for its end, or unbundle into "
                "another folder by --results."
            )
        if not force:
            _refuse_another(path, folder, results, run)
        mark = results / place_of(MANIFEST, run)
        made_here = not mark.is_file() and all((results / n).is_file() for n in required(run))
        new = [f for f in files_of(folder, run) if _differs(results / f.relative_to(folder), f)]
        if not new or (made_here and not force):
            return run, False
        if force:
            _remove_rest(results, run)
        mark.unlink(missing_ok=True)
        for file in files_of(folder, run):
            place = results / file.relative_to(folder)
            with writing(place), atomic_path(place) as partial:
                shutil.copyfile(file, partial)
    return run, True


def _refuse_another(path: Path, folder: Path, results: Path, run: str) -> None:
    """Raises UserError where a file of a run of that name is there that is not the bundle's."""
    about = {place_of(name, run) for name in TOP}  # what is said of the run, not the run
    for file in files_of(folder, run):
        place = results / file.relative_to(folder)
        about_it = str(file.relative_to(folder)) in about
        if not place.is_file() or about_it or not _differs(place, file):
            continue
        if file.parent.name == SHORTCUTS:
            raise UserError(
                f"{results} has other shortcuts of {file.stem} already, made here or brought by "
                f"another bundle, than {path}: two bundles of the same images must agree; unbundle "
                "into another folder by --results, or replace them by --force."
            )
        raise UserError(
            f"{results} has a run {run} already, and its {place.relative_to(results)} is not that "
            f"of {path}: unbundle into another folder by --results, or replace the run by --force."
        )


def _remove_rest(results: Path, run: str) -> None:
    """Removes what a replaced run has of images, and its checkpoints: they are of other weights."""
    for kind in (*OF_IMAGES, "checkpoints"):
        folder = results / kind / run
        if folder.is_dir():
            with writing(folder):
                shutil.rmtree(folder)


def _differs(here: Path, bundled: Path) -> bool:
    return not here.is_file() or sha256_of(here) != sha256_of(bundled)
