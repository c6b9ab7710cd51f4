"""What of the thesis runs here: its systems, tables and figures, from resources/coverage.csv.

docs/coverage.md is made from the rows (`ssl_ood reference`); the tests hold them against the
targets of the config, the declared methods and the reported values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssl_ood.common.rows import checked_rows
from ssl_ood.study.paths import CLONE

COVERAGE = CLONE / "resources" / "coverage.csv"
TITLES = {"system": "Systems", "table": "Tables", "figure": "Figures"}
STATUSES = {
    "runs": "runs",
    "setting": "settings of the config",
    "quoted": "quoted",
    "not_built": "not built",
    "drawing": "drawing",
}
INTRODUCTION = """# What of the thesis runs here

<!-- Written by `ssl_ood reference` from resources/coverage.csv: change that file, not this one. -->

**Runs**: `snakemake NAME` makes it, or the named method trains it. **Quoted**: its numbers stand in
our tables as the thesis reports them. **Not built**: nothing here makes it.
"""


@dataclass(frozen=True)
class Item:
    """A row of the file, as workflow/schemas/coverage.schema.yaml describes it."""

    item: str
    kind: str
    chapter: str
    line: str
    status: str
    by: str
    why: str

    @property
    def names(self) -> list[str]:
        """The targets, the method or the settings that make it."""
        return self.by.split()


def read_coverage(path: Path = COVERAGE) -> list[Item]:
    """The items, in the order of the file. Raises UserError for a faulty file."""
    return [Item(**row) for row in checked_rows(path, "coverage.schema.yaml")]


def coverage_page(items: Iterable[Item]) -> str:
    """docs/coverage.md: a sentence, and a table for each kind."""
    items = list(items)
    parts = [INTRODUCTION, summary(items), ""]
    for kind, title in TITLES.items():
        parts += [f"## {title}\n", "| of the thesis | chapter | status | by | why |"]
        parts += ["|---|---|---|---|---|", *(_line(i) for i in items if i.kind == kind), ""]
    return "\n".join(parts)


def summary(items: Iterable[Item]) -> str:
    """`Of 30 systems 13 run, 9 are quoted, 8 are not built.`, one sentence for each kind."""
    sentences = []
    for kind, title in TITLES.items():
        counts = Counter(item.status for item in items if item.kind == kind)
        words = {
            "runs": "run",
            "setting": "are settings",
            "quoted": "are quoted",
            "not_built": "are not built",
        }
        one = {"run": "runs"} | {w: w.replace("are ", "is ") for w in words.values() if w != "run"}
        parts = [
            f"{counts[status]} {one[word] if counts[status] == 1 else word}"
            for status, word in words.items()
            if counts[status]
        ]
        total = sum(counts.values()) - counts["drawing"]
        sentences.append(f"Of {total} {title.lower()} {', '.join(parts)}.")
    return " ".join(sentences)


def _line(item: Item) -> str:
    by = ", ".join(f"`{name}`" for name in item.names)
    where = item.chapter + (f", line {item.line}" if item.line else "")
    return f"| {item.item} | {where} | {STATUSES[item.status]} | {by or '—'} | {item.why or '—'} |"
