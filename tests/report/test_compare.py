"""`ssl_ood compare`: what differs between two results folders or two tables."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from ssl_ood.cli import main

ROWS = [
    {"run": "r", "seed": 0, "ood": "svhn", "score": "cosine_tau", "tau": 0.04, "metric": "auroc",
     "value": 0.9, "ci_low": 0.88, "ci_high": 0.92, "n_in": 10, "n_out": 20},
    {"run": "r", "seed": 0, "ood": "", "score": "", "tau": "", "metric": "knn_accuracy",
     "value": 0.7, "ci_low": "", "ci_high": "", "n_in": 10, "n_out": ""},
]  # fmt: skip
TABLE = [{"ood": "svhn", "method": "none", "measured": 90.0, "verdict": "holds"}]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folders(tmp_path):
    """Two equal results folders."""
    for name in "ab":
        write(tmp_path / name / "metrics/r.csv", ROWS)
        write(tmp_path / name / "tables/table_x.csv", TABLE)
    return tmp_path / "a", tmp_path / "b"


def compare(*arguments):
    return main(["compare", *map(str, arguments)])


def test_equal_folders_are_equal(folders, capsys):
    assert compare(*folders) == 0
    assert capsys.readouterr().out == "equal: 2 files of measurements and tables.\n"


def test_what_differs_is_named_with_its_difference(folders, tmp_path, capsys):
    a, b = folders
    write(b / "metrics/r.csv", [ROWS[0] | {"value": 0.9 + 1e-6}, ROWS[1]])
    write(b / "tables/table_x.csv", [TABLE[0] | {"measured": 91.5, "verdict": "does not hold"}])
    assert compare(a, b, "--output", tmp_path / "found.csv") == 1
    found = pd.read_csv(tmp_path / "found.csv")
    by = found.set_index(["place", "column"])["difference"]
    assert by["tables/table_x", "measured"] == 1.5
    assert by["measurements/r", "value"] == pytest.approx(1e-6)
    assert len(found) == 3
    said = capsys.readouterr().out
    assert "tables/table_x measured: 90 -> 91.5 (+1.5)" in said
    assert "verdict: holds -> does not hold" in said
    assert "svhn cosine_tau 0.04 auroc value" in said


def test_the_tolerance_is_for_numbers_alone(folders):
    a, b = folders
    write(b / "metrics/r.csv", [ROWS[0] | {"value": 0.9 + 1e-6}, ROWS[1]])
    assert compare(a, b, "--tolerance", 2e-6) == 0
    assert compare(a, b, "--tolerance", 5e-7) == 1
    write(b / "tables/table_x.csv", [TABLE[0] | {"verdict": "does not hold"}])
    assert compare(a, b, "--tolerance", 1) == 1


def test_what_only_one_has_is_missing_in_the_other(folders, tmp_path):
    a, b = folders
    write(b / "metrics/r.csv", ROWS[:1])
    write(b / "metrics/s.csv", ROWS)
    (b / "tables/table_x.csv").unlink()
    assert compare(a, b, "--output", tmp_path / "found.csv") == 1
    rows = pd.read_csv(tmp_path / "found.csv", keep_default_na=False)
    assert rows[["place", "row", "a", "b"]].values.tolist() == [
        ["measurements/r", "knn_accuracy", "there", "missing"],
        ["measurements/s", "", "missing", "there"],
        ["tables/table_x", "", "there", "missing"],
    ]


def test_measurements_of_either_schema_are_compared(folders):
    """The first is csv, the next parquet with other names of the same columns."""
    a, b = folders
    frame = pd.DataFrame(ROWS).replace("", float("nan"))
    frame = frame.rename(
        columns={"ood": "dataset", "tau": "temperature", "ci_low": "low", "ci_high": "high"}
    ).assign(over=["images", ""], status="measured", n_out=[20, 0])
    (b / "measurements").mkdir()
    frame.fillna({"dataset": "", "score": ""}).to_parquet(b / "measurements/r.parquet")
    assert compare(a, b) == 0
    frame.assign(status=["measured", "no_data"]).to_parquet(b / "measurements/r.parquet")
    assert compare(a, b) == 1


def test_rows_of_one_name_are_compared_in_their_order(folders):
    a, b = folders
    twice = [TABLE[0] | {"measured": value} for value in (1, 2)]
    write(a / "tables/table_x.csv", twice)
    write(b / "tables/table_x.csv", twice)
    assert compare(a, b) == 0
    write(b / "tables/table_x.csv", twice[::-1])
    assert compare(a / "tables/table_x.csv", b / "tables/table_x.csv") == 1


def test_nothing_to_compare_is_one_sentence(tmp_path, capsys):
    assert compare(tmp_path, tmp_path) == 2
    assert "neither measurements nor tables" in capsys.readouterr().err
    (tmp_path / "empty.csv").touch()
    assert compare(tmp_path / "empty.csv", tmp_path / "empty.csv") == 2
    assert "cannot be read as the csv of a table" in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf", "a"])
def test_a_tolerance_that_compares_nothing_is_refused(folders, tolerance, capsys):
    with pytest.raises(SystemExit):
        compare(*folders, f"--tolerance={tolerance}")
    assert "--tolerance" in capsys.readouterr().err
