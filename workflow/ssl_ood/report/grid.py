"""A table from its rows and columns: records, one pivot, and a layout.

A row and a column each say a part of what their cells are of, as arguments of `records.measure`;
together they ask for a record, and what is printed of it is up to the column:

    rows = [Row([ood], {"in_distribution": "cifar10", "dataset": ood}) for ood in ("svhn", "lsun")]
    columns = [Column(s, {"strategy": s}) for s in ("none", "rot_imgn")]
    Grid(results, rows, columns).table("AUROC (%).", ["OOD set"], ["Bold: best of the row."])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby, product
from typing import TYPE_CHECKING, Any

from ssl_ood.common.vocabulary import SHORTCUT
from ssl_ood.report.cells import value
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.records import Record, measure
from ssl_ood.report.reported import QUOTED
from ssl_ood.report.results import Results
from ssl_ood.report.shortcuts import (
    SELECTED,
    TITLES,
    beside_models,
    best_cell,
    best_shortcut,
    kinds,
)
from ssl_ood.report.table_parts import seeds_note
from ssl_ood.report.writers import MISSING, embolden

if TYPE_CHECKING:
    import pandas as pd

PLACE = ["row", "column"]  # where a record stands in the table
ASKED = [*PLACE, "system", "status", "reported", "n"]  # columns that a table without records has
Piece = Callable[[Sequence[Record]], Cell]


@dataclass(frozen=True)
class Row:
    """words: what stands on the left; of: what all its cells are of, None for a heading.

    rule: whether a line is drawn above; best: whether its cells can be the best of their column.
    """

    words: Sequence[str]
    of: Mapping[str, Any] | None = None
    rule: bool = False
    best: bool = True

    @property
    def home(self) -> str:
        """The in-distribution dataset of the row; empty where its columns name one."""
        return (self.of or {}).get("in_distribution", "")


@dataclass(frozen=True)
class Column:
    """title: over its cells; of: what all its cells are of; group: over neighbours that share it.

    pieces: what is printed side by side below the title, by its own title; without them the value.
    Only the first can be the best of its row or column; none of them where `best` is false.
    """

    title: str
    of: Mapping[str, Any]
    group: str = ""
    pieces: Mapping[str, Piece] | None = None
    best: bool = True

    @property
    def above(self) -> str:
        """What stands above the line of titles."""
        return self.group if self.pieces is None else self.title

    @property
    def shown(self) -> Mapping[str, Piece]:
        if self.pieces is not None:
            return self.pieces
        return {self.title: best_cell if SHORTCUT in self.of else value}


@dataclass(frozen=True)
class Grid:
    """each: what the several records of a cell are of; measure: called instead of `measure`.

    shortcuts: whether the best of what needs no learning stands beside, where the target is told
    what it is.

    A `strategy` may be a mapping: one for each in-distribution dataset, nothing for the others.
    """

    results: Results
    rows: Sequence[Row]
    columns: Sequence[Column]
    each: Sequence[Mapping[str, Any]] = ({},)
    measure: Callable[..., Record | None] = measure
    shortcuts: bool = True

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The records, each with its place in the table: where there is a value, a csv row."""
        import pandas as pd

        places = product(enumerate(self.rows), enumerate(self.columns), self.each)
        frames = [
            {"row": i, "column": j} | record
            for (i, row), (j, column), more in places
            if row.of is not None
            and (record := self._record({**row.of, **column.of, **more}, more))
        ]
        return pd.DataFrame(frames, columns=None if frames else ASKED)

    def _record(self, of: dict[str, Any], more: Mapping[str, Any]) -> Record | None:
        if kind := of.pop(SHORTCUT, ""):
            best = best_shortcut(self.results, kind, **of) if more is self.each[0] else None
            return best and beside_models(best)
        if isinstance(of.get("strategy"), Mapping):
            of["strategy"] = of["strategy"].get(of["in_distribution"])
            if of["strategy"] is None:
                return None
        return self.measure(self.results, **of)

    @cached_property
    def _shown(self) -> pd.Series:
        """Whether the csv file has a record: of quoted ones only those with a value."""
        return (self.frame["status"] != QUOTED) | self.frame["reported"].notna()

    @cached_property
    def _rows_of_csv(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """The rows of the csv file that every cell shows, by row and column."""
        line = self._shown.cumsum() - 1
        kept = self.frame[self._shown].groupby(PLACE).groups.items()
        return {place: tuple(int(line[i]) for i in of) for place, of in kept}

    @cached_property
    def _cells(self) -> dict[tuple[int, int], list[Record]]:
        """The pivot: the records of every cell, by row and column."""
        records = self.frame.to_dict("records")
        places = self.frame.groupby(PLACE).indices.items()
        return {place: [records[index] for index in indices] for place, indices in places}

    def table(
        self,
        caption: str,
        leads: Sequence[str],
        notes: Iterable[str],
        *,
        best: str = "row",
        below: Mapping[str, Piece] | None = None,
        name_homes: bool | None = None,
        groups_in_markdown: bool = False,
        over_images: str = "DeLong",
        about: str = "",
    ) -> Table:
        """The layout. leads: titles of the words on the left.

        best: where the best cell is bold: in each "row", in each "column" of a dataset's rows, or
        nowhere. below: rows of reported values by title, not printed where they have none.
        name_homes: whether a column before the words names the in-distribution dataset; without it
        where the rows are of several. over_images: see `seeds_note`. about: the first note, instead
        of that on seeds.
        """
        grid = self._beside_shortcuts(len(leads))
        if grid is not self:
            notes = [*notes, SELECTED]
        if name_homes is None:
            name_homes = len({row.home for row in grid.rows} - {""}) > 1
        rows, rules = [], set()
        for i, (row, line) in enumerate(zip(grid.rows, grid._lines(best), strict=True)):
            first = i == 0 or row.home != grid.rows[i - 1].home
            if rows and (first or row.rule):
                rules.add(len(rows))
            title = grid.results.title("datasets", row.home) if first else ""
            rows.append([*[Cell(title)] * name_homes, *map(Cell, row.words), *line])
            rows += [[Cell("")] * name_homes + cells for cells in grid._below(i, below or {})]
        words = [*["In-distribution"] * name_homes, *leads]
        groups = [
            (title, sum(len(column.shown) for column in columns))
            for title, columns in groupby(grid.columns, lambda column: column.above)
        ]
        grouped = any(title for title, _ in groups)
        own = grid.frame[grid.frame["status"] != SHORTCUT]
        shown = grid.frame[grid._shown]
        return Table(
            grid.results.spec["name"],
            caption,
            words + [title for column in grid.columns for title in column.shown],
            rows,
            shown.drop(columns=PLACE).to_dict("records"),
            [("", len(words)), *groups] if grouped else [],
            groups_in_markdown and grouped,
            frozenset(rules),
            [about or seeds_note(own["n"], grid.results, over_images), *notes],
            text_columns=len(words),
        )

    def _lines(self, best: str) -> list[list[Cell]]:
        """The cells of every row, with the best in bold."""
        lines = [
            [
                cell
                for j, column in enumerate(self.columns)
                for cell in self._printed(row, column, i, j)
            ]
            for i, row in enumerate(self.rows)
        ]
        firsts = accumulate((len(column.shown) for column in self.columns), initial=0)
        places = [first for first, c in zip(firsts, self.columns, strict=False) if c.best]
        if best == "row":
            pairs = zip(self.rows, lines, strict=True)
            return [embolden(line, places) if row.best else line for row, line in pairs]
        for _, block in groupby(range(len(lines)), lambda i: self.rows[i].home):
            together = list(block)
            candidates = [k for k, i in enumerate(together) if self.rows[i].best]
            for place in places * (best == "column"):
                cells = embolden([lines[i][place] for i in together], candidates)
                for i, cell in zip(together, cells, strict=True):
                    lines[i][place] = cell
        return lines

    def _printed(self, row: Row, column: Column, i: int, j: int) -> list[Cell]:
        """What is printed of the records at a place, side by side."""
        pieces = list(column.shown.values())
        if row.of is None:
            return [Cell("")] * len(pieces)
        records, of = self._cells.get((i, j), []), self._rows_of_csv.get((i, j), ())
        if SHORTCUT in row.of:
            return [best_cell(records)._replace(of=of), *[Cell("")] * (len(pieces) - 1)]
        return [piece(records)._replace(of=of) for piece in pieces]

    def _beside_shortcuts(self, words: int) -> Grid:
        """This grid and, where its target shows it, the best shortcuts of every pair: last rows for
        each in-distribution dataset where the columns name OOD sets, else last columns."""
        if not (self.shortcuts and self.results.spec.get("shortcuts")):
            return self
        shown = kinds(self.results)
        if not any("dataset" in column.of for column in self.columns):
            last = [Column(TITLES[kind], {SHORTCUT: kind}, best=False) for kind in shown]
            return replace(self, columns=[*self.columns, *last], shortcuts=False)
        rows: list[Row] = []
        for home, block in groupby(self.rows, lambda row: row.home):
            of, blank = {"in_distribution": home} if home else {}, [""] * (words - 1)
            rows += block
            rows += [
                Row([TITLES[kind], *blank], {SHORTCUT: kind} | of, kind == shown[0], best=False)
                for kind in shown
            ]
        return replace(self, rows=rows, shortcuts=False)

    def _below(self, i: int, pieces: Mapping[str, Piece]) -> Iterator[list[Cell]]:
        """The rows of reported values below a row, where they have any."""
        for title, piece in pieces.items():
            cells = [
                Cell("") if SHORTCUT in column.of else piece(self._cells.get((i, j), []))
                for j, column in enumerate(self.columns)
            ]
            if any(cell.value not in ("", MISSING) for cell in cells):
                yield [c._replace(aside=c.value != "") for c in (Cell(title), *cells)]
