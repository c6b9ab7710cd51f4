"""Makes a table or a figure by the form that its spec names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl_ood.common.registry import Entry, lookup
from ssl_ood.report.results import load_results


@dataclass(frozen=True)
class Files:
    """What a form may read, by its needs.

    measurements, scores: parquet files of the runs; shortcuts: of what needs no learning; images:
    folders of packed sets; data: the folder of all packed sets, for forms that need views;
    reported: folder of the reported values; history: the logs of the trainings.
    """

    measurements: Sequence[Path] = ()
    scores: Sequence[Path] = ()
    shortcuts: Sequence[Path] = ()
    images: Sequence[Path] = ()
    data: Path | None = None
    reported: Path | None = None
    history: Sequence[Path] = ()


def make_table(spec: dict[str, Any], files: Files, prefix: Path) -> None:
    """Writes a table to prefix.csv, .md, .tex, .html and .json; spec: see `Experiments.spec`.

    Whatever the form, notes on the thesis's values that it shows, and on gaps, stand below it.
    """
    from ssl_ood.report.notes import reported_notes
    from ssl_ood.report.writers import write_table

    form = lookup("table", spec["form"], spec["name"]).load()
    results = load_results(
        spec, files.measurements, files.reported, files.scores, files.images, files.shortcuts,
        files.history,
    )  # fmt: skip
    table = form(results)
    notes = reported_notes(results)
    notes += [f"{gap} Its cells have no number." for gap in spec.get("gaps", ())]
    write_table(replace(table, notes=[*table.notes, *notes]), prefix)


def make_figure(spec: dict[str, Any], files: Files, prefix: Path) -> None:
    """Draws a figure to prefix.pdf, .png and .csv; spec: see `Experiments.spec`."""
    from ssl_ood.report.figures.style import draw_nothing, house_style

    entry = lookup("figure", spec["form"], spec["name"])
    measured = spec if "measurements" in entry.needs else spec | {"runs": []}
    results = load_results(measured, files.measurements, files.reported)
    if "history" in entry.needs:
        results = replace(results, spec=spec)
    gaps = spec.get("gaps", ())
    with house_style(" ".join(gaps)):
        if gaps and not _can_be_drawn(entry, spec, files):
            return draw_nothing(prefix)
        entry.load()(results, files, prefix)


def _can_be_drawn(entry: Entry, spec: dict[str, Any], files: Files) -> bool:
    """Whether there is anything that the figure shows."""
    if entry.needs & {"measurements", "scores", "history"}:
        return any("status" not in run for run in spec["runs"])
    if "views" in entry.needs:
        return bool(spec["configs"])
    return bool(files.images)
