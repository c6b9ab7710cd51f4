"""A table before it is written: cells, header, notes, and the records of its csv file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """`value` (bold where it is the best) and what follows it; an aside is set smaller."""

    value: str
    rest: str = ""
    bold: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Table:
    """header: column titles; rows: cells, one a column; records: the rows of the csv file.

    groups: (title, number of columns) over the header, covering all columns, and whether markdown,
    which has one header line, puts them before the titles; rules: indices of the rows that a line
    is drawn above; text_columns: how many columns from the left are words; wide: 1-based columns of
    sentences with their width in LaTeX (such a table is not padded in markdown).
    """

    name: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    records: list[dict[str, Any]]
    groups: list[tuple[str, int]] = field(default_factory=list)
    groups_in_markdown: bool = False
    rules: frozenset[int] = frozenset()
    notes: list[str] = field(default_factory=list)
    text_columns: int = 1
    wide: dict[int, str] = field(default_factory=dict)
