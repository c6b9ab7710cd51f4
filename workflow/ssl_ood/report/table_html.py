"""A table as one HTML page: what the report shows, since it draws no markdown."""

from __future__ import annotations

from html import escape

from ssl_ood.report.layout import Cell, Table

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 1.5em }
table { border-collapse: collapse; border-block: 2px solid #222 }
thead { border-bottom: 1px solid #222 }
th, td { padding: .2em .7em; text-align: right; vertical-align: top; white-space: nowrap }
.words { text-align: left }
.long { text-align: left; white-space: normal; min-width: 14em }
.rule { border-top: 1px solid #999 }
.group { text-align: center }
.aside { color: #666; font-size: smaller }
li { max-width: 60em }
"""


def to_html(table: Table) -> str:
    """The page: caption, table and notes, every text escaped."""
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(table.name)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<p>{escape(table.caption)}</p>",
        "<table><thead>",
    ]
    if any(title for title, _ in table.groups):
        groups = (
            f'<th class="group" colspan="{span}">{escape(title)}</th>'
            for title, span in table.groups
        )
        lines.append(f"<tr>{''.join(groups)}</tr>")
    titles = (f"<th{_class(table, i)}>{escape(title)}</th>" for i, title in enumerate(table.header))
    lines.append(f"<tr>{''.join(titles)}</tr></thead><tbody>")
    for number, row in enumerate(table.rows):
        cells = (f"<td{_class(table, i)}>{_cell(cell)}</td>" for i, cell in enumerate(row))
        rule = ' class="rule"' if number in table.rules else ""
        lines.append(f"<tr{rule}>{''.join(cells)}</tr>")
    lines.append("</tbody></table>")
    if table.notes:
        lines += ["<ul>", *(f"<li>{escape(note)}</li>" for note in table.notes), "</ul>"]
    return "\n".join([*lines, "</body></html>"]) + "\n"


def _class(table: Table, column: int) -> str:
    if column + 1 in table.wide:
        return ' class="long"'
    return ' class="words"' if column < table.text_columns else ""


def _cell(cell: Cell) -> str:
    value = f"<b>{escape(cell.value)}</b>" if cell.bold else escape(cell.value)
    text = value + escape(cell.rest)
    return f'<span class="aside">{text}</span>' if cell.aside else text
