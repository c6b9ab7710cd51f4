"""Growth: slopes are right, sizes that nobody measured are marked, and a case says what it took."""

from __future__ import annotations

import csv

import pytest


def rows_of(part, pairs, state="yes"):
    return [
        {"part": part, "size": str(size), "unit": "images", "processor_seconds": str(seconds),
         "memory_mib": "1", "measured": state, "note": ""}
        for size, seconds in pairs
    ]  # fmt: skip


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5, 2.0])
def test_the_slope_is_the_power_of_the_growth(power):
    from growth import slope

    rows = rows_of("a", [(size, 3 * size**power) for size in (10, 100, 1000)])
    assert slope(rows, "processor_seconds") == pytest.approx(power, abs=1e-9)


def test_what_is_beyond_is_in_proportion_and_marked():
    from growth import beyond

    rows = rows_of("a", [(10, 1.0), (100, 12.0)]) + rows_of("b", [(10**6, 1.0)])
    (made,) = beyond(rows, "a", [50, 1000])  # 50 is smaller than what was measured
    assert (made["size"], made["measured"]) == ("1000", "extrapolated")
    assert float(made["processor_seconds"]) == 120 and made["memory_mib"] == ""
    assert beyond(rows, "c", [1000]) == []


def test_a_size_that_is_measured_again_replaces_its_row(tmp_path):
    from growth import COLUMNS, keep, read

    def full(rows):
        return [dict.fromkeys(COLUMNS, "") | row for row in rows]

    path = tmp_path / "growth.csv"
    keep(path, full(rows_of("a", [(10, 1.0), (5, 2.0)])))
    keep(path, full(rows_of("a", [(10, 7.0)])))
    assert [(r["size"], r["processor_seconds"]) for r in read(path)] == [
        ("5", "2.0"),
        ("10", "7.0"),
    ]


def test_one_command_writes_rows_slopes_and_the_figure(tmp_path, capsys):
    """Real work: small scores and small packed sets, each in a process of its own."""
    import growth

    command = ["--output", str(tmp_path)]
    growth.main([*command, "--parts", "scores, both", "--sizes", "10000", "90000"])
    growth.main([*command, "--parts", "packing", "--sizes", "30"])
    with open(tmp_path / "growth.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == growth.COLUMNS
    measured = [(r["part"], r["size"]) for r in rows if r["measured"] == "yes"]
    assert measured == [("packing", "30"), ("scores, both", "10000"), ("scores, both", "90000")]
    beyond = [r for r in rows if r["measured"] == "extrapolated"]
    assert {r["part"] for r in beyond} == {"scores, both"} and len(beyond) == 2
    for row in rows:
        assert float(row["processor_seconds"]) > 0 and len(row["date"]) == 10
        assert row["cores"].isdigit()
    assert "slope of the time" in capsys.readouterr().out
    assert (tmp_path / "growth.svg").read_text(encoding="utf-8").startswith("<?xml")
