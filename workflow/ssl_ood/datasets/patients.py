"""Whose image it is: the patient, or whatever else joins images, by a pattern or a table.

`{pattern: REGEX}`: the first bracket of the regular expression in the image's name below its
folder. `{csv: FILE, image: COLUMN, patient: COLUMN}`: a table with a row for each image, which it
names as below its folder or by the file's own name. Light: the plan asks, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssl_ood.common.csv_files import rows_of
from ssl_ood.common.errors import UserError, reason
from ssl_ood.datasets.text import printable

Patients = Callable[[str], str]


def patients_of(options: Mapping[str, Any]) -> Patients:
    """A function that tells the patient of an image by its name.

    It raises UserError for a name that the pattern or the table says nothing of; this raises it for
    a pattern that is none or has no bracket, and for a table that lacks a column.
    """
    if "pattern" in options:
        return _by_pattern(options["pattern"])
    return _by_table(options["csv"], options["image"], options["patient"])


@lru_cache(maxsize=64)
def _by_pattern(text: str) -> Patients:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"the pattern {text!r} is not a regular expression ({error}).") from None
    if pattern.groups == 0:
        raise UserError(
            f"the pattern {text!r} has no bracket: put the part that names the patient into one, "
            r"as in '^(\d+)_'."
        )

    def patient(name: str) -> str:
        match = pattern.search(name)
        if match is None or match[1] is None:
            raise UserError(
                f"the pattern {text!r} finds no patient in the name {printable(name)}: correct it."
            )
        return match[1]

    return patient


@lru_cache(maxsize=64)
def _by_table(path: str, image: str, patient: str) -> Patients:
    try:
        rows = rows_of(Path(path).read_bytes(), path, [image, patient])
    except OSError as error:
        raise UserError(f"the table {path} cannot be read ({reason(error)}).") from None
    patient_of = {row[image].replace("\\", "/"): row[patient] for row in rows}

    def find(name: str) -> str:
        name = printable(name)
        known = patient_of.get(name) or patient_of.get(name.rpartition("/")[2])
        if not known:
            raise UserError(
                f"the table {path} has no row whose {image} is {name}, or no {patient} there: add "
                "it."
            )
        return known

    return find
