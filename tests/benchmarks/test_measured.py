"""docs/measured.md: written from docs/measured/*.csv, and no number of its tables is of anywhere
else."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_in_the_repository_is_up_to_date():
    """`python benchmarks/measured.py` writes it again."""
    import measured

    assert (DOCS / "measured.md").read_text(encoding="utf-8") == measured.page(DOCS / "measured")


def test_every_number_of_a_table_is_in_its_csv():
    """Read as a reader does, without the command: up to the decimals shown, as it is or in %."""
    text = (DOCS / "measured.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        (name,) = set(re.findall(r"\]\(measured/(\w+\.csv)\)", section))
        with open(DOCS / "measured" / name, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        shown = [line for line in section.splitlines() if line.startswith("| ")][1:]
        assert len(shown) == len(rows)
        for line, row in zip(shown, rows, strict=True):
            values = [value for value in row.values() if _is_number(value)]
            for cell in filter(_is_number, (c.strip() for c in line.strip("| ").split("|"))):
                half = 0.5 * 10 ** -len(cell.partition(".")[2]) + 1e-9
                near = [abs(float(cell) - scale * float(v)) for v in values for scale in (1, 100)]
                assert min(near) <= half or cell in row.values(), (cell, row)


@pytest.mark.parametrize(
    ("gains", "minutes", "reached"),
    [([0.11, 0.1, 0.02], 25, True), ([0.11, 0.09, 0.02], 25, False), ([0.2, 0.2, 0.2], 26, False)],
)
def test_the_goal_is_reached_with_two_seeds_in_the_time(gains, minutes, reached):
    from measured import goal_of_recipes

    rows = [
        {"setting": "one", "seed": str(i), "backbone": "resnet18", "gain": str(gain),
         "cpu_minutes": str(minutes)}
        for i, gain in enumerate(gains)
    ]  # fmt: skip
    said = goal_of_recipes(rows)
    assert said.startswith("Trainings logged: 3, of them of convolutional backbones 3. ")
    assert ("The goal is reached by: one." in said) == reached
    assert ("nearest came `one`" in said) != reached


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
