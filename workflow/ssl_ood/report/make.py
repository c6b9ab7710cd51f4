"""Makes a table or a figure by the form that its spec names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.registry import lookup
from ssl_ood.report.results import load_results


@dataclass(frozen=True)
class Files:
    """What a form may read, by its needs.

    measurements, scores: parquet files of the runs; images: folders of packed sets; data: the
    folder of all packed sets, for forms that need views; reported: folder of the reported values.
    """

    measurements: Sequence[Path] = ()
    scores: Sequence[Path] = ()
    images: Sequence[Path] = ()
    data: Path | None = None
    reported: Path | None = None


def make_table(spec: dict[str, Any], files: Files, prefix: Path) -> None:
    """Writes a table to prefix.csv, .md, .tex and .html; spec: see `Experiments.spec`."""
    from ssl_ood.report.writers import write_table

    form = lookup("table", spec["form"], spec["name"]).load()
    write_table(form(load_results(spec, files.measurements, files.reported)), prefix)


def make_figure(spec: dict[str, Any], files: Files, prefix: Path) -> None:
    """Draws a figure to prefix.pdf, .png and .csv; spec: see `Experiments.spec`."""
    from ssl_ood.report.figures.style import house_style

    entry = lookup("figure", spec["form"], spec["name"])
    if "measurements" not in entry.needs:
        spec = spec | {"runs": []}
    results = load_results(spec, files.measurements, files.reported)
    with house_style():
        entry.load()(results, files, prefix)
