"""What a file says beside its pixels, which may give an OOD set away: facts.csv of a packed set.

One line for each image, in their order: the file's bytes and format, the sides of its picture as
stored, and of a DICOM its view position and the patient's age and sex. Nothing else of a header is
kept, no name, number or date, and a tag only where it is the kind of word that it should be. What
an image does not have is empty: pixels out of an array are no file, and have sides alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssl_ood.common.csv_files import rows_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FILE = "facts.csv"
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")  # a code string of DICOM: PS3.5 6.2, CS
AGE = re.compile(r"(\d{1,3})([DWMY]?)")  # PS3.5 6.2, AS; without a unit, as in RSNA: years
A_YEAR = {"D": 365.25, "W": 52.18, "M": 12, "Y": 1, "": 1}
SEXES = ("M", "F", "O")


class Facts(NamedTuple):
    """Facts of one image, empty text or None for none. bytes: of the file; width, height: pixels
    of the picture as stored; age: years."""

    bytes: int | None = None
    format: str = ""
    width: int | None = None
    height: int | None = None
    view_position: str = ""
    age: float | None = None
    sex: str = ""

    def line(self) -> str:
        """Its line of facts.csv. No value has a comma or a quotation mark in it."""
        return ",".join("" if value is None else f"{value:g}" if isinstance(value, float)
                        else str(value) for value in self) + "\n"  # fmt: skip


HEADER = ",".join(Facts._fields) + "\n"
TEXTS = ("format", "view_position", "sex")  # the other columns are numbers


def of_header(record: Dataset) -> dict[str, Any]:
    """The facts in the header of a DICOM; what is damaged or no such word is left out."""
    view = _word(record, "ViewPosition")
    sex, age = _word(record, "PatientSex"), AGE.fullmatch(_word(record, "PatientAge"))
    return {
        "view_position": view if CODE.fullmatch(view) else "",
        "sex": sex if sex in SEXES else "",
        "age": round(int(age[1]) / A_YEAR[age[2]], 2) if age else None,
    }


def _word(record: Dataset, key: str) -> str:
    try:
        return str(record.get(key) or "").strip().upper()
    except Exception:  # pydicom raises whatever a damaged element makes it trip over
        return ""


def as_columns(rows: Iterable[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """The columns of facts by name, (N,): text as it is, numbers float64 with NaN for none."""
    rows = list(rows)
    return {
        name: np.array([row[name] for row in rows], dtype=str)
        if name in TEXTS
        else np.array([float(row[name] or "nan") for row in rows])
        for name in Facts._fields
    }


def read_facts(path: Path) -> dict[str, np.ndarray]:
    """The columns of a facts.csv; see `as_columns`. Raises UserError for what is none."""
    return as_columns(rows_of(path.read_bytes(), str(path), Facts._fields))
