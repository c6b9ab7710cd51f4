"""Rows of a csv file, held against a JSON schema of one row."""

from __future__ import annotations

import csv
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import parse_yaml

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def checked_rows(path: Path, schema: str) -> list[dict[str, str]]:
    """The rows of `path`, as text, in order; schema: a file in workflow/schemas.

    Raises UserError where the file is not there, and for the first row that breaks the schema.
    """
    import jsonschema

    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: take it from the repository.") from None
    text = (SCHEMAS / schema).read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(parse_yaml(text))
    for number, row in enumerate(rows, start=1):
        error = jsonschema.exceptions.best_match(validator.iter_errors(row))
        if error is not None:
            place = ".".join(map(str, error.absolute_path)) or "its columns"
            raise UserError(f"{path}: row {number} is wrong at {place}: {error.message}.")
    return rows
