"""Old and new verdicts side by side."""

from __future__ import annotations

import csv

import pytest
import verdicts

COLUMNS = ("id", "claim", "verdict", "measured", "reason")


def write(folder, name, *rows):
    path = folder / "tables" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def test_every_claim_of_either_has_a_row(tmp_path, capsys):
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, "table_claims", ("a", "A is ahead", "holds", "+0.01 points", ""),
          ("gone", "No more", "holds", "", ""))  # fmt: skip
    write(new, "table_claims", ("a", "A is ahead", "undecided", "+0.01 [-1, 1] points", "a|b"))
    write(new, "table_claims_basics", ("b", "Colours", "holds", "x", ""))
    verdicts.main([str(old), str(new)])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("3 claims, 0 verdicts unchanged; holds to undecided: 1; ")
    assert "— to holds: 1" in said[0] and "holds to —: 1" in said[0]
    assert said[4:] == [
        r"| A is ahead | holds | undecided | +0.01 points | +0.01 [-1, 1] points | a\|b |",
        "| Colours | — | holds | — | x | — |",
        "| No more | holds | — | — | — | — |",
    ]


def test_without_tables_it_says_so(tmp_path):
    write(tmp_path / "old", "table_claims", ("a", "A", "holds", "", ""))
    with pytest.raises(SystemExit, match="has no table_claims"):
        verdicts.main([str(tmp_path / "old"), str(tmp_path / "new")])
    with pytest.raises(SystemExit, match="usage"):
        verdicts.main([str(tmp_path)])
