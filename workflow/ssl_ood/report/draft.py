"""A table in the making: how entries become rows of cells, dataset by dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ssl_ood.common.vocabulary import BASE
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import Column, Entry, measure, quote, seeds_note
from ssl_ood.report.writers import MISSING, embolden, measured_cell, number, signed

REPORTED_ROW = Cell("  reported (Δ)", aside=True)
Cells = list[Cell]


@dataclass
class Draft:
    """A table in the making: a form measures entries and adds rows of cells, dataset by dataset.

    leads: titles of the columns of words on the left; show_home: whether a column before them
    names the in-distribution dataset. Every entry that is measured or quoted through the draft is a
    row of the csv file.
    """

    results: Results
    leads: Sequence[str]
    show_home: bool = False
    rows: list[Cells] = field(default_factory=list)
    rules: set[int] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    home: str | None = None

    @property
    def words(self) -> int:
        """How many columns on the left are words."""
        return self.show_home + len(self.leads)

    def measure(self, home: str, strategy: str, column: Column, variant: str = BASE) -> Entry:
        """The entry of a model; see `table_parts.measure`."""
        return self.keep(measure(self.results, home, strategy, column, variant))

    def quote(self, home: str, system: str, column: Column) -> Entry:
        """The entry of another system, which is no row of the csv file where it has no value."""
        entry = quote(self.results, home, system, column)
        return entry if entry.reported is None else self.keep(entry)

    def keep(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        return entry

    def add(self, home: str, cells: Cells, *below: Cells, rule: bool = False) -> None:
        """A row with its leading words. A line is drawn above the first one of a dataset.

        below: rows of reported values, not printed where they have none.
        """
        first = home != self.home
        if self.rows and (first or rule):
            self.rules.add(len(self.rows))
        self.home = home
        title = self.results.title("datasets", home) if first else ""
        self.rows.append([Cell(title)] * self.show_home + cells)
        for line in below:
            if not is_empty(line[len(self.leads) :]):
                self.rows.append([Cell("")] * self.show_home + line)

    def table(
        self,
        caption: str,
        header: Sequence[str],
        notes: Iterable[str],
        groups: Sequence[tuple[str, int]] = (),
        *,
        groups_in_markdown: bool = False,
        over_images: str = "DeLong",
    ) -> Table:
        """header and groups: of the columns right of the words; over_images: see `seeds_note`."""
        seeds = seeds_note((entry.summary for entry in self.entries), self.results, over_images)
        return Table(
            self.results.spec["name"],
            caption,
            [*["In-distribution"] * self.show_home, *self.leads, *header],
            self.rows,
            [entry.record for entry in self.entries],
            [("", self.words), *groups] if groups else [],
            groups_in_markdown and bool(groups),
            frozenset(self.rules),
            [seeds, *notes],
            text_columns=self.words,
        )


def measured(entry: Entry | None, digits: int) -> Cell:
    """Mean ± spread, or why there is none; None: nothing is run there."""
    return measured_cell(entry.summary, digits, entry.status) if entry else measured_cell(None)


def reported(entry: Entry, digits: int) -> Cell:
    """`90.29 (+0.71)`: what the thesis prints and the difference, for the row below."""
    delta = difference(entry, digits)
    rest = "" if delta == MISSING else f" ({delta})"
    return Cell(number(entry.reported, digits), rest, aside=True)


def beside(entry: Entry, digits: int) -> Cells:
    """Measured, reported and their difference, in three cells."""
    values = (number(entry.reported, digits), difference(entry, digits))
    return [measured(entry, digits), *map(Cell, values)]


def difference(entry: Entry, digits: int) -> str:
    """Measured minus reported with its sign; a dash where one of the two is missing."""
    if entry.summary is None or entry.reported is None:
        return MISSING
    return signed(entry.summary.mean - entry.reported, digits)


def is_empty(cells: Iterable[Cell]) -> bool:
    """Whether a row has nothing but missing values: such a row is not printed."""
    return all(cell.value in ("", MISSING) for cell in cells)


def best_in_row(cells: Cells, first: int) -> Cells:
    """The best of the cells from `first` on in bold."""
    return embolden(cells, range(first, len(cells)))


def best_in_columns(
    lines: list[Cells], columns: Iterable[int], candidates: Sequence[int] | None = None
) -> None:
    """Sets the best of each column in bold, in place. candidates: the lines that count, or all."""
    chosen = range(len(lines)) if candidates is None else candidates
    for column in columns:
        cells = embolden([line[column] for line in lines], chosen)
        for line, cell in zip(lines, cells, strict=True):
            line[column] = cell
