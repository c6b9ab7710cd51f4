"""What the page shows, gathered from the config and a results folder: plain data for its template.

Shown is what is there: a table or figure that was not made is named under what is missing.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import unknown
from ssl_ood.common.registry import lookup
from ssl_ood.report.chain import Chains
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.page.evidence import Entry, entries_of
from ssl_ood.study.coverage import STATUSES, TITLES, read_coverage
from ssl_ood.study.runs import Experiments, Target

# Sections by the names that forms declare (`section=` of their @register), in the page's order.
SECTIONS = {
    "tables": "Tables",
    "figures": "Figures",
    "negatives": "Negative sets",
    "protocol": "Protocol",
    "claims": "Claims",
    "shortcuts": "Shortcuts",
    "learning_curves": "Learning curves",
}
DIGITS = 4
COSTS = (
    "What every table and figure has cost. A model that several of them share counts for each of "
    "them, and once in the last row. Hours of training are wall time over all attempts; "
    "interruptions are resumes after a job was killed or told to stop, and repeated steps the work "
    "that this cost."
)


@dataclass(frozen=True)
class ShownTable:
    """A table with where its numbers come from; entries: by row of its csv file."""

    table: Table
    title: str
    chapter: int | None
    csv: str = ""
    entries: dict[int, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class ShownFigure:
    """A picture; name: its anchor; path: below the results folder; words: what it shows."""

    name: str
    title: str
    path: str
    words: str
    chapter: int | None = None


def section_of(target: Target) -> str:
    """The section of a table or figure: what its form declares, else that of its kind.

    Raises UserError where the form declares one that the page has not.
    """
    section = lookup(target.kind, target.form).more.get("section", f"{target.kind}s")
    if section not in SECTIONS:
        raise unknown(section, SECTIONS, "section", f"the form {target.form} of a {target.kind}")
    return section


def is_there(target: Target, results: Path) -> bool:
    """Whether a table or figure was made."""
    suffix = {"table": ".json", "figure": ".png"}[target.kind]
    return (results / f"{target.kind}s" / f"{target.name}{suffix}").exists()


def shown_table(target: Target, experiments: Experiments, chains: Chains) -> ShownTable:
    """A table of the results folder. Raises UserError where it is damaged, or a number of it is
    not that of its measurements."""
    table = chains.table(target.name)
    text = (chains.results / "tables" / f"{target.name}.csv").read_text(encoding="utf-8")
    title = lookup(target.kind, target.form).title
    chapter = experiments.config.studies[target.settings.study].chapter
    return ShownTable(table, title, chapter, text, entries_of(table, chains))


def shown_figure(target: Target, experiments: Experiments) -> ShownFigure:
    """A figure of the results folder."""
    form = lookup(target.kind, target.form)
    chapter = experiments.config.studies[target.settings.study].chapter
    return ShownFigure(target.name, form.title, f"figures/{target.name}.png", form.notes, chapter)


def costs_table(results: Path) -> Table | None:
    """costs.csv as a table; None where there is none."""
    path = results / "costs.csv"
    if not path.is_file():
        return None
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    titles = [title.replace("_", " ") for title in rows[0]]
    cells = [[Cell(_short(value)) for value in row.values()] for row in rows]
    return Table("costs", COSTS, titles, cells, [], rules=frozenset({len(rows) - 1}))


def _short(text: str) -> str:
    """A number with four digits; other texts as they are."""
    try:
        return f"{float(text):.{DIGITS}g}" if "." in text else text or "—"
    except ValueError:
        return text


def coverage_table() -> Table:
    """What of the thesis runs in this project, is quoted, or is not built."""
    rows, rules, before = [], set(), ""
    for item in read_coverage():
        if item.kind != before:
            rules.add(len(rows))
            before = item.kind
        words = [TITLES[item.kind], item.item, item.chapter, STATUSES[item.status]]
        rows.append([Cell(word or "—") for word in [*words, ", ".join(item.names), item.why]])
    header = ["Kind", "Of the thesis", "Chapter", "Status", "By", "Why"]
    caption = "Systems, tables and figures of the thesis, and what becomes of each here."
    return Table(
        "coverage", caption, header, rows, [], rules=frozenset(rules), text_columns=6,
        wide={2: "4cm", 5: "4cm", 6: "5cm"},
    )  # fmt: skip


def negative_sets(results: Path) -> list[dict[str, Any]]:
    """The negative sets that were built: name, picture, and what they draw from, in words."""
    from ssl_ood.common.files import read_json

    found = []
    for manifest in sorted((results / "negatives").glob("*/manifest.json")):
        told = read_json(manifest)
        words = [_source_words(entry) for entry in told["negatives"]]
        found.append(
            {
                "name": manifest.parent.name,
                "path": f"negatives/{manifest.parent.name}/contact_sheet.png",
                "words": words,
            }
        )
    return [f for f in found if (results / f["path"]).exists()]


def _source_words(entry: dict[str, Any]) -> str:
    tests = entry["also_in_test_sets"]
    alike = sum(t["identical"] + t["near"] for t in tests.values())
    shift = f", {entry['shift']}" if entry["shift"] else ""
    compared = f"; {alike} of them look like a test image" if tests else ""
    return f"{entry['images']:,} images of {entry['source']}{shift}{compared}"
