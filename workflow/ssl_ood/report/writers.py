"""A table as csv (tidy, full precision), markdown and LaTeX (booktabs); HTML is in table_html."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_ood.common.files import write_text
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.table_html import to_html

MISSING = "—"
MINUS = "−"
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "—": "---",
    "–": "--",
    "…": r"\ldots{}",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "†": r"\textsuperscript{\dag}",
    "‡": r"\textsuperscript{\ddag}",
    "§": r"\textsuperscript{\S}",
    "*": r"\textsuperscript{*}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "√": r"\checkmark{}",
    "<": r"$<$",
    ">": r"$>$",
}


def write_table(table: Table, prefix: Path) -> None:
    """Writes prefix.csv, .md, .tex, .html and .json (its layout), each whole or not at all."""
    for suffix, text in (
        ("csv", to_csv(table.records)),
        ("md", to_markdown(table)),
        ("tex", to_latex(table)),
        ("html", to_html(table)),
        ("json", table.to_json() + "\n"),
    ):
        write_text(prefix.with_name(f"{prefix.name}.{suffix}"), text)


def to_csv(records: list[dict[str, Any]]) -> str:
    """The records as csv; None and NaN are empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _plain(value) for key, value in record.items()})
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else value


def to_markdown(table: Table) -> str:
    """A pipe table whose columns line up in a terminal too, with caption and notes."""
    header = [*table.header]
    if table.groups_in_markdown:
        header = [f"{group} {title}".strip() for group, title in _grouped(table)]
    lines = [[_escape_stars(_escape_pipes(title)) for title in header]]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    widths = [3 if table.wide else max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    words = table.text_columns
    texts = ["| " + " | ".join(_aligned(lines[0], widths, words)) + " |"]
    marks = ["-" * (w + 2) if i < words else "-" * (w + 1) + ":" for i, w in enumerate(widths)]
    texts.append("|" + "|".join(marks) + "|")
    texts += ["| " + " | ".join(_aligned(line, widths, words)) + " |" for line in lines[1:]]
    notes = [f"- {_escape_stars(note)}" for note in table.notes]
    parts = [_escape_stars(table.caption), "\n".join(texts), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _grouped(table: Table) -> list[tuple[str, str]]:
    groups = [title for title, span in table.groups for _ in range(span)]
    return list(zip(groups, table.header, strict=True))


def _aligned(line: list[str], widths: list[int], words: int) -> list[str]:
    return [
        text.ljust(width) if i < words else text.rjust(width)
        for i, (text, width) in enumerate(zip(line, widths, strict=True))
    ]


def _markdown_cell(cell: Cell) -> str:
    value = _escape_stars(_escape_pipes(cell.value))
    return (f"**{value}**" if cell.bold else value) + _escape_stars(_escape_pipes(cell.rest))


def _escape_pipes(text: str) -> str:
    return text.replace("|", "\\|")


def _escape_stars(text: str) -> str:
    return text.replace("*", "\\*")


def to_latex(table: Table) -> str:
    r"""A table environment with booktabs rules, shrunk to \textwidth where it is wider."""
    columns = [
        f"p{{{table.wide[i + 1]}}}"
        if i + 1 in table.wide
        else "l"
        if i < table.text_columns
        else "r"
        for i in range(len(table.header))
    ]
    lines = [
        r"% needs \usepackage{booktabs,graphicx,amssymb}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name.removeprefix('table_')}}}",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{''.join(columns)}}}",
        r"\toprule",
    ]
    if table.groups:
        lines += _latex_groups(table.groups)
    lines += [_latex_row(latex(title) for title in table.header), r"\midrule"]
    for i, row in enumerate(table.rows):
        lines += [r"\midrule"] * (i in table.rules)
        lines.append(_latex_row(_latex_cell(cell) for cell in row))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\smallskip{{\footnotesize {latex(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_groups(groups: list[tuple[str, int]]) -> list[str]:
    cells, rules, first = [], [], 1
    for title, span in groups:
        cells.append(
            rf"\multicolumn{{{span}}}{{c}}{{{latex(title)}}}" if title else "&" * (span - 1)
        )
        if title:
            rules.append(rf"\cmidrule(lr){{{first}-{first + span - 1}}}")
        first += span
    return [_latex_row(cells), "".join(rules)]


def _latex_row(cells) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    value = latex(cell.value)
    text = (rf"\textbf{{{value}}}" if cell.bold else value) + latex(cell.rest)
    return rf"{{\footnotesize {text}}}" if cell.aside and text else text


def latex(text: str) -> str:
    """`text` with LaTeX's special characters and the signs we print escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; missing values as an em dash."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign; missing values as an em dash."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:+.{digits}f}".replace("-", MINUS)


def embolden(cells: list[Cell], candidates: Sequence[int], *, smallest: bool = False) -> list[Cell]:
    """`cells` with the best among the candidates in bold, all of them where they print the same."""
    shown = {i: value for i in candidates if (value := _printed(cells[i])) is not None}
    if not shown:
        return cells
    best = min(shown.values()) if smallest else max(shown.values())
    return [
        cell._replace(bold=True) if shown.get(i) == best else cell for i, cell in enumerate(cells)
    ]


def _printed(cell: Cell) -> float | None:
    """The number that a cell shows, None where it shows none."""
    try:
        return float(cell.value.replace(MINUS, "-"))
    except ValueError:
        return None
