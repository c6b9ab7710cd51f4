"""What a cell shows of its records: functions that a `Column` or `Grid.table` names.

Each takes the records of a cell: none where nothing is run, several where a cell has several
scores; then the first is followed by the others in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ssl_ood.report.layout import Cell
from ssl_ood.report.records import Record
from ssl_ood.report.reported import QUOTED
from ssl_ood.report.results import NOT_RUN
from ssl_ood.report.writers import MISSING, number, signed

DIGITS = {
    "fraction": 3,
    "percent": 2,
    "nats": 2,
    "bits": 3,
    "hours": 2,
    "count": 0,
    "score": 4,
}  # printed; csv files have all


def value(records: Sequence[Record]) -> Cell:
    """`0.941 ± 0.002 (0.764 ± 0.010)`: mean ± spread over seeds, or why there is none."""
    first, *others = [_value(record) for record in records] or [Cell(_words(NOT_RUN))]
    if not others or not any(record["n"] for record in records):
        return first
    inside = ", ".join(cell.value + cell.rest for cell in others)
    return first._replace(rest=f"{first.rest} ({inside})")


def _value(record: Record) -> Cell:
    digits = DIGITS[record["unit"]]
    if record["status"] == QUOTED:
        return Cell(number(record["reported"], digits))
    if not record["n"]:
        return Cell(_words(record["status"]))
    spread = record["spread"]
    rest = "" if math.isnan(spread) else f" ± {number(spread, digits)}"
    return Cell(number(record["measured"], digits), rest)


def _words(status: str) -> str:
    return status.replace("_", " ")


def reported(records: Sequence[Record]) -> Cell:
    """`0.941 (0.764)`: what the thesis reports; one dash where it reports nothing."""
    return _joined([number(r["reported"], DIGITS[r["unit"]]) for r in records])


def difference(records: Sequence[Record]) -> Cell:
    """`+0.002 (−0.010)`: measured minus reported; one dash where there is nothing to compare."""
    return _joined([signed(r["difference"], DIGITS[r["unit"]]) for r in records])


def reported_with_difference(records: Sequence[Record]) -> Cell:
    """`90.29 (+0.71)`; empty where nothing is run, and for what is quoted anyway."""
    if not records or records[0]["status"] == QUOTED:
        return Cell("")
    delta = difference(records).value
    return reported(records)._replace(rest="" if delta == MISSING else f" ({delta})")


def _joined(values: Sequence[str]) -> Cell:
    if all(text == MISSING for text in values):
        return Cell(MISSING)
    first, *others = values
    return Cell(f"{first} ({', '.join(others)})" if others else first)


REPORTED_BELOW = {"  reported (Δ)": reported_with_difference}
BESIDE = {"measured": value, "reported": reported, "Δ": difference}
