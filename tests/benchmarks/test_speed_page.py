"""The tables of docs/speed.md are those of docs/measured."""

from __future__ import annotations

import csv
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_what_was_measured():
    import speed_page

    text = (DOCS / "speed.md").read_text(encoding="utf-8")
    assert speed_page.filled(text) == text
    assert {found[2] for found in speed_page.BLOCK.finditer(text)} == {
        "opponents",
        "growth",
        "gpu",
        "usual",
    }


def test_every_comparison_and_size_has_its_commit_and_date():
    for name in ("speed", "growth"):
        with open(DOCS / "measured" / f"{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        for row in rows:
            assert len(row["commit"]) == 7 and len(row["date"]) == 10 and row["load"], row


def test_extrapolated_sizes_stand_in_brackets():
    import speed_page

    with open(DOCS / "measured" / "growth.csv", encoding="utf-8", newline="") as file:
        guessed = [row for row in csv.DictReader(file) if row["measured"] == "extrapolated"]
    lines = [line for line in speed_page.growth().splitlines() if "| (" in line]
    assert len(lines) == len(guessed)
