"""Tables as text, from whatever program wrote them: read whole, or refused by a sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ssl_ood.common.errors import UserError


def rows_of(content: bytes, name: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a csv file by the names of its columns: see `rows_of_text`.

    A byte order mark is passed over. Raises UserError for another encoding than UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not UTF-8 (byte {error.start}): save it as CSV in UTF-8."
        ) from None
    return rows_of_text(text, name, columns)


def rows_of_text(text: str, name: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a csv by the names of its columns.

    Raises UserError for a column that is not there (a spreadsheet may separate with semicolons) and
    a row of another length.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise UserError(
            f"{name}, line {reader.line_num}, is not a line of a csv: {error}."
        ) from None
    names = reader.fieldnames or []
    for column in columns:
        if column not in names:
            raise UserError(
                f"{name} has no column {column!r}, only {', '.join(names) or 'nothing'}: it is "
                "another table, or its columns are not separated by commas."
            )
    for number, row in enumerate(rows, 1):
        if len(row) != len(names) or None in row.values():
            raise UserError(f"{name}: row {number} has not the {len(names)} columns of the first.")
    return rows
