"""A table before it is written: cells, header, notes, and the records of its csv file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """`value` (bold where it is the best) and what follows it; an aside is set smaller.

    of: which records of the table it shows, as rows of the csv file counted from 0.
    """

    value: str
    rest: str = ""
    bold: bool = False
    aside: bool = False
    of: tuple[int, ...] = ()


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

    def to_json(self) -> str:
        """All but the records, which the csv file has, for `from_json`."""
        plain = asdict(replace(self, records=[], rules=frozenset()))
        del plain["records"]
        plain["rows"] = [[_sparse(cell) for cell in row] for row in self.rows]
        return json.dumps(plain | {"rules": sorted(self.rules)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, records: list[dict[str, Any]]) -> Table:
        """The table that `to_json` wrote, with the rows of its csv file.

        Raises ValueError, KeyError or TypeError for another text.
        """
        plain = json.loads(text)
        rows = [
            [Cell(**cell | {"of": tuple(cell.get("of", ()))}) for cell in row]
            for row in plain["rows"]
        ]
        return cls(
            **{f.name: plain[f.name] for f in fields(cls) if f.name in plain}
            | {
                "rows": rows,
                "records": records,
                "rules": frozenset(plain["rules"]),
                "groups": [(title, span) for title, span in plain["groups"]],
                "wide": {int(column): width for column, width in plain["wide"].items()},
            }
        )


def _sparse(cell: Cell) -> dict[str, Any]:
    """The fields of a cell that say something."""
    return {"value": cell.value} | {k: v for k, v in cell._asdict().items() if v}
