"""A table as HTML: the element, and a page of its own for Snakemake's report, which draws no
markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from ssl_ood.report.layout import Cell, Table

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 1.5em }
table { border-collapse: collapse; border-block: 2px solid #222 }
thead { border-bottom: 1px solid #222 }
th, td { padding: .2em .7em; text-align: right; vertical-align: top; white-space: nowrap }
.words { text-align: left }
.long { text-align: left; white-space: normal; min-width: 14em }
tbody + tbody { border-top: 1px solid #999 }
.group { text-align: center }
.aside { color: #666; font-size: smaller }
.again { visibility: hidden }
li { max-width: 60em }
"""
MINUS, MISSING = "−", "—"  # as `writers` prints them
Link = Callable[[Sequence[int]], str]  # from records to an address; empty where there is none


def to_html(table: Table) -> str:
    """The page: caption, table and notes, every text escaped."""
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(table.name)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<p>{escape(table.caption)}</p>",
        table_element(table),
    ]
    if table.notes:
        lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in table.notes), "</ul>"]
    return "\n".join([*lines, "</body></html>"]) + "\n"


def table_element(table: Table, link: Link | None = None, anchors: Sequence[str] = ()) -> str:
    """The table alone, every text escaped; rows between two rules are a tbody of their own.

    link: the address that a cell with a value leads to; anchors: of the rows. Rows of the class
    `below` belong to the row above them, a `heading` is above all rows of its tbody; words of the
    class `again` are those of the row above, which is why they are not printed (see web/sort.js).
    """
    lines = [f'<table class="sortable" aria-label="{escape(table.caption)}"><thead>']
    if any(title for title, _ in table.groups):
        groups = (
            f'<th class="group" colspan="{span}">{escape(title)}</th>'
            for title, span in table.groups
        )
        lines.append(f"<tr>{''.join(groups)}</tr>")
    titles = (
        f'<th scope="col"{_class(table, i)}>{escape(title)}</th>'
        for i, title in enumerate(table.header)
    )
    lines.append(f"<tr>{''.join(titles)}</tr></thead><tbody>")
    above: list[str] = []
    for number, row in enumerate(table.rows):
        if number in table.rules and number:
            lines.append("</tbody><tbody>")
            above = []
        words = [cell.value for cell in row[: table.text_columns]]
        again = _repeated(words, above)
        above = again + words[len(again) :]
        cells = (
            f"<td{_class(table, i)}{_number(cell)}>{_cell(cell, link)}</td>"
            if i >= len(again)
            else f'<td{_class(table, i)}><span class="again">{escape(again[i])}</span></td>'
            for i, cell in enumerate(row)
        )
        anchor = f' id="{escape(anchors[number])}"' if anchors else ""
        lines.append(f"<tr{anchor}{_kind(table, row)}>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _repeated(words: Sequence[str], above: Sequence[str]) -> list[str]:
    """The words on the left that are those of the row above: blank here, before others."""
    blank = next((i for i, word in enumerate(words) if word), 0)
    return list(above[:blank])


def _kind(table: Table, row: Sequence[Cell]) -> str:
    words, others = row[: table.text_columns], row[table.text_columns :]
    if any(cell.aside and cell.value for cell in words):
        return ' class="below"'
    if others and not any(cell.value or cell.rest for cell in others):
        return ' class="heading"'
    return ""


def _class(table: Table, column: int) -> str:
    if column + 1 in table.wide:
        return ' class="long"'
    return ' class="words"' if column < table.text_columns else ""


def _number(cell: Cell) -> str:
    """What the cell is sorted by, where what it prints begins with a number."""
    try:
        return f' data-value="{float(cell.value.split(" ")[0].replace(MINUS, "-"))}"'
    except ValueError:
        return ""


def _cell(cell: Cell, link: Link | None) -> str:
    value = f"<b>{escape(cell.value)}</b>" if cell.bold else escape(cell.value)
    text = value + escape(cell.rest)
    address = link(cell.of) if link and cell.of and cell.value not in ("", MISSING) else ""
    if address:
        text = f'<a href="{escape(address)}">{text}</a>'
    return f'<span class="aside">{text}</span>' if cell.aside else text
