"""How rows and columns become a table: records, one pivot, a layout."""

from __future__ import annotations

import pytest

from ssl_ood.report.cells import BESIDE, REPORTED_BELOW, difference, reported, value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.results import load_results

SETS = ["cifar100", "svhn"]


@pytest.fixture
def results(study, reported):
    """Two strategies on two OOD sets, one seed; table 6.2 reports 90.29 of none on cifar100."""
    study.fill("cifar10", "none", auroc={"cifar100": 0.90, "svhn": 0.99}, ood=SETS)
    study.fill("cifar10", "rot_imgn", auroc={"cifar100": 0.95, "svhn": 0.97}, ood=SETS)
    spec = study.spec("table_negative_sampling", reported="table_6_2")
    return load_results(spec, study.write(), reported)


def rows_of(*names, **more):
    return [Row([name], {"in_distribution": "cifar10", "dataset": name}, **more) for name in names]


def columns_of(*strategies, **more):
    return [Column(strategy, {"strategy": strategy}, **more) for strategy in strategies]


def texts(table):
    return [[f"{'*' * cell.bold}{cell.value}{cell.rest}" for cell in row] for row in table.rows]


def test_a_cell_is_what_its_row_and_its_column_say(results):
    grid = Grid(results, rows_of(*SETS), columns_of("none", "rot_imgn"))
    table = grid.table("", ["OOD set"], [])
    assert texts(table) == [["cifar100", "90.00", "*95.00"], ["svhn", "*99.00", "97.00"]]
    assert table.header == ["OOD set", "none", "rot_imgn"] and table.groups == []
    places = grid.frame[["row", "column", "dataset", "strategy"]].to_numpy().tolist()
    assert places[1:3] == [[0, 1, "cifar100", "rot_imgn"], [1, 0, "svhn", "none"]]
    assert [record["measured"] for record in table.records] == pytest.approx([90, 95, 99, 97])
    assert "row" not in table.records[0]


def test_the_best_of_a_column_is_among_its_candidates(results):
    rows = [*rows_of("cifar100"), *rows_of("svhn", best=False)]
    columns = [*columns_of("none"), *columns_of("rot_imgn", best=False)]
    table = Grid(results, rows, columns).table("", ["OOD set"], [], best="column")
    assert texts(table) == [["cifar100", "*90.00", "95.00"], ["svhn", "99.00", "97.00"]]


def test_reported_values_stand_beside_or_below(results):
    beside = Grid(results, rows_of("cifar100"), columns_of("none", pieces=BESIDE))
    table = beside.table("", ["OOD set"], [])
    assert texts(table) == [["cifar100", "*90.00", "90.29", "−0.29"]]
    assert table.header == ["OOD set", "measured", "reported", "Δ"]
    assert table.groups == [("", 1), ("none", 3)]
    below = Grid(results, rows_of("cifar100"), columns_of("none"))
    table = below.table("", ["OOD set"], [], below=REPORTED_BELOW)
    assert texts(table)[1] == ["  reported (Δ)", "90.29 (−0.29)"]
    assert all(cell.aside for cell in table.rows[1])


def test_what_is_not_run_on_a_dataset_is_no_record(results):
    columns = [Column("a", {"strategy": {"cifar10": "none"}}), Column("b", {"strategy": {}})]
    table = Grid(results, rows_of("svhn"), columns).table("", ["OOD set"], [])
    assert texts(table) == [["svhn", "*99.00", "not run"]] and len(table.records) == 1


def test_a_heading_has_no_cells_and_another_system_no_csv_row_without_a_value(results):
    rows = [Row(["Others"]), Row(["Nobody"], {"system": "Nobody"})]
    columns = [Column("SVHN", {"in_distribution": "cifar10", "dataset": "svhn"})]
    table = Grid(results, rows, columns).table("", ["Method"], [])
    assert texts(table) == [["Others", ""], ["Nobody", "—"]] and table.records == []


def test_several_records_of_a_cell_stand_in_brackets(results):
    (first, *_), (second, *_) = results.ood_sets("cifar10"), ["svhn"]
    row = Row(["both"], {"in_distribution": "cifar10", "strategy": "none"})
    each = [{"dataset": first}, {"dataset": second}]
    below = {"reported": reported, "Δ": difference}
    table = Grid(results, [row], [Column("AUROC", {}, pieces={"AUROC": value})], each).table(
        "", ["Sets"], [], below=below
    )
    assert texts(table) == [
        ["both", "*90.00 (99.00)"], ["reported", "90.29 (99.38)"], ["Δ", "−0.29 (−0.38)"],
    ]  # fmt: skip
