"""Tables from synthetic metrics whose means and spreads are known."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.make import Files, make_table
from ssl_ood.report.writers import embolden, latex, to_latex, to_markdown

SAMPLING = ["none", "rot_imgn"]


def row_of(markdown, start):
    (line,) = (x for x in markdown.splitlines() if x.startswith(f"| {start} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def two_strategies(study, seeds=(0, 1, 2), ood=("cifar100", "svhn"), photographs=()):
    for seed in seeds:
        study.fill("cifar10", "none", seed, auroc={"cifar100": 0.90 + seed / 100, "svhn": 0.99},
                   ood=ood, photographs=photographs)  # fmt: skip
        study.fill("cifar10", "rot_imgn", seed, auroc={"cifar100": 0.95, "svhn": 0.97 - seed / 100},
                   ood=ood, photographs=photographs)  # fmt: skip
    return study


def test_means_spreads_and_differences_of_the_negative_sampling_table(
    made, study, reported, tmp_path
):
    two_strategies(study)
    table, markdown, _ = made(study, reported, tmp_path, "table_negative_sampling",
                              in_distribution=["cifar10"], strategies=SAMPLING,
                              reported="table_6_2")  # fmt: skip
    cell = table.set_index(["dataset", "strategy"]).loc[("cifar100", "none")]
    assert cell.measured == pytest.approx(91.0) and cell.spread == pytest.approx(1.0)
    assert cell.n == 3 and cell.over == "seeds"
    assert cell.low == pytest.approx(91 - 4.302653 / 3**0.5, abs=1e-4)  # t of 2 degrees
    assert cell.reported == 90.29 and cell.difference == pytest.approx(0.71)
    assert cell.runs.split(";") == [f"natural-cifar10-none-base-seed{i}" for i in range(3)]
    average = table.set_index(["dataset", "strategy"]).loc[("average", "rot_imgn")]
    assert average.measured == pytest.approx(95.5) and average.reported == 94.29
    assert row_of(markdown, "CIFAR-100") == ["CIFAR-100", "91.00 ± 1.00", "**95.00** ± 0.00"]
    assert row_of(markdown, "SVHN") == ["SVHN", "**99.00** ± 0.00", "96.00 ± 1.00"]
    assert "90.29 (+0.71)" in markdown and "99.38 (−0.38)" in markdown


def test_one_seed_has_no_spread_and_the_over_images(made, study, reported, tmp_path):
    two_strategies(study, seeds=[0])
    table, markdown, _ = made(study, reported, tmp_path, "table_negative_sampling",
                              in_distribution=["cifar10"])  # fmt: skip
    cell = table.set_index(["dataset", "strategy"]).loc[("cifar100", "none")]
    assert pd.isna(cell.spread) and cell.over == "images" and cell.n == 1
    assert cell.low == pytest.approx(89.0) and cell.high == pytest.approx(91.0)
    assert row_of(markdown, "CIFAR-100")[1] == "90.00"
    assert "One seed" in markdown


def test_a_run_without_measurements_is_an_error_not_a_cell(made, study, reported, tmp_path):
    two_strategies(study)
    study.run("cifar10", "imgn", ood=["cifar100", "svhn"])
    with pytest.raises(UserError, match="there are no measurements of natural-cifar10-imgn-base"):
        made(study, reported, tmp_path, "table_negative_sampling", in_distribution=["cifar10"])
    study.runs[-1]["status"] = "no_data"
    table, markdown, tex = made(study, reported, tmp_path, "table_negative_sampling",
                                in_distribution=["cifar10"])  # fmt: skip
    assert row_of(markdown, "CIFAR-100")[3] == "no data" and "no data" in tex
    missing = table[table.strategy == "imgn"]
    assert missing.measured.isna().all() and (missing.n == 0).all()


@pytest.mark.parametrize(
    ("status", "words"), [("no_data", "no data"), ("no_weights", "no weights")]
)
def test_a_cell_without_a_number_says_why(made, study, reported, tmp_path, status, words):
    two_strategies(study)
    study.without(study.fill("cifar10", "imgn", auroc=0.9, ood=["cifar100", "svhn"]), status)
    table, markdown, tex = made(
        study, reported, tmp_path, "table_negative_sampling", reported="table_6_2"
    )
    cells = row_of(markdown, "CIFAR-100")
    assert words in cells and words in tex
    assert "**95.00** ± 0.00" in cells  # the best of those with a number
    missing = table[table.strategy == "imgn"]
    assert missing.measured.isna().all() and (missing.n == 0).all()
    assert (missing.status == status).all() and (missing.method == "dino").all()


def test_a_seed_without_a_number_is_left_out_of_the_mean(made, study, reported, tmp_path):
    two_strategies(study)
    study.without("natural-cifar10-none-base-seed2", "no_data")
    table, markdown, _ = made(study, reported, tmp_path, "table_negative_sampling")
    cell = table.set_index(["dataset", "strategy"]).loc[("cifar100", "none")]
    assert cell.measured == pytest.approx(90.5) and cell.n == 2 and cell.status == "measured"
    assert "over 2 to 3 seeds" in markdown


def test_what_no_run_of_the_table_measures_is_not_run_or_not_applicable(
    made, study, reported, tmp_path
):
    two_strategies(study, seeds=[0])
    study.fill("cifar100", "none", auroc=0.8, ood=["svhn"])
    rows = study.rows["natural-cifar10-none-base-seed0"]
    rows[:] = [row for row in rows if row["metric"] != "occupied_soft_classes"]
    table, _, _ = made(study, reported, tmp_path, "table_negative_sampling")
    found = table.set_index(["in_distribution", "dataset", "strategy"]).status
    assert found["cifar100", "svhn", "rot_imgn"] == "not_run"
    table, _, _ = made(study, reported, tmp_path, "table_quality")
    found = table.set_index(["in_distribution", "strategy", "metric"]).status
    assert found["cifar10", "none", "occupied_soft_classes"] == "not_applicable"


def test_a_hyperparameter_without_a_number_says_why_and_is_not_chosen(
    made, study, reported, tmp_path
):
    study.fill("cifar10", "none", auroc=0.8, sensitivity=0.4, weight=0.0)
    study.fill("cifar10", "rot_imgn", auroc=0.9, sensitivity=0.5)
    lost = study.fill("cifar10", "rot_imgn", auroc=0.9, variant="lambda_2", weight=2.0)
    study.without(lost, "no_data")
    table, markdown, _ = made(study, reported, tmp_path, "table_hyperparameters")
    rows = table[(table.hyperparameter == "lambda") & (table.metric == "sensitivity")]
    rows = rows.set_index("setting")
    assert rows.chosen[1.0] and not rows.chosen[2.0]
    assert rows.status[2.0] == "no_data" and "no data" in markdown


def test_metrics_of_runs_outside_the_target_are_ignored(study, reported, tmp_path):
    two_strategies(study)
    spec = study.spec("table_negative_sampling", in_distribution=["cifar10"])
    spec["runs"] = [r for r in study.runs if r["seed"] == 0]
    make_table(spec, Files(study.write(), reported=reported), tmp_path / "t")
    assert (pd.read_csv(tmp_path / "t.csv").n == 1).all()


def test_photographs_have_an_average_without_them_and_a_note(made, study, reported, tmp_path):
    two_strategies(study, photographs=["svhn"])
    table, markdown, _ = made(study, reported, tmp_path, "table_negative_sampling",
                              photographs=["svhn"], show_reported=False,
                              in_distribution=["cifar10"])  # fmt: skip
    honest = table[table.dataset == "average_without_photographs"].set_index("strategy").measured
    assert honest["none"] == pytest.approx(91.0) and honest["rot_imgn"] == pytest.approx(95.0)
    assert "leaves out SVHN" in markdown


def test_strategies_are_grouped_by_where_their_negatives_come_from(made, study, reported, tmp_path):
    study.thesis(seeds=[0])
    study.runs = [r for r in study.runs if r["in_distribution"] == "cifar10"]
    _, _, tex = made(study, reported, tmp_path, "table_negative_sampling",
                     in_distribution=["cifar10"], reported="table_6_2")  # fmt: skip
    assert r"\multicolumn{8}{c}{Auxiliary}" in tex and r"\cmidrule(lr){3-10}" in tex


def test_the_auroc_table_shows_other_methods_with_footnotes(made, study, reported, tmp_path):
    study.thesis(seeds=[0, 1])
    ours = ["rot_imgn", "combined"]
    study.runs = [r for r in study.runs if r["strategy"] in ours and r["variant"] == "base"]
    table, markdown, tex = made(study, reported, tmp_path, "table_ood_auroc",
                                in_distribution=["cifar10", "cifar100"],
                                strategies=ours, reported="table_6_1")  # fmt: skip
    header = row_of(markdown, "In-distribution")
    assert header[2:6] == ["Reported Geometric\\*", "Reported SSD", "Reported CSI", "Reported MTL†"]
    assert header[6:9] == ["Rot. ImgN measured", "Rot. ImgN reported", "Rot. ImgN Δ"]
    row = row_of(markdown, "CIFAR-10 ")
    assert row[1:6] == ["CIFAR-100", "91.91", "90.63", "89.20", "93.24"] and row[7] == "92.51"
    assert "9 of the 10 classes of CIFAR-10 also occur in STL10" in markdown
    others = table[table.system == "Geometric"]
    assert len(others) == 12 and others.measured.isna().all()
    columns = len(header)
    body = tex.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    lines = [x for x in body.splitlines() if "&" in x]
    assert len(lines) == 16 and all(len(re.findall(r"(?<!\\)&", x)) == columns - 1 for x in lines)


def test_bold_counts_reported_methods_too(made, study, reported, tmp_path):
    study.fill("cifar10", "rot_imgn", 0, auroc=0.93, ood=["cifar100", "texture"])
    _, markdown, _ = made(study, reported, tmp_path, "table_ood_auroc",
                          in_distribution=["cifar10"], reported="table_6_1")  # fmt: skip
    near = next(line for line in markdown.splitlines() if "CIFAR-100" in line)
    assert "**93.24**" in near and "**93.00**" not in near


def test_quality_stands_beside_the_untrained_network(made, study, reported, tmp_path):
    study.thesis()
    study.runs = [r for r in study.runs if r["in_distribution"] == "cifar10"
                  and not r["variant"].startswith("lambda")]  # fmt: skip
    table, markdown, _ = made(study, reported, tmp_path, "table_quality",
                              in_distribution=["cifar10"])  # fmt: skip
    untrained = row_of(markdown, "Untrained network")
    assert untrained[1] == "60.00 ± 0.00" and untrained[2] == "30.00 ± 0.00"
    rows = table.set_index(["strategy", "variant", "metric"])
    assert rows.loc[("none", "untrained", "occupied_soft_classes")].measured == 400
    assert rows.loc[("none", "base", "mean_entropy")].unit == "nats"
    assert "log K = 6.20" in markdown


def test_hyperparameters_are_chosen_by_sensitivity_and_not_by_auroc(
    made, study, reported, tmp_path
):
    for weight, variant, sensitivity, auroc in (
        (0.5, "lambda_0.5", 0.52, 0.90), (1.0, "base", 0.51, 0.99), (2.0, "lambda_2", 0.50, 0.95),
    ):  # fmt: skip
        study.fill("cifar10", "rot_imgn", 0, auroc=auroc, variant=variant, weight=weight,
                   sensitivity=sensitivity)  # fmt: skip
    study.fill("cifar10", "none", 0, auroc=0.8, sensitivity=0.49, weight=0.0)
    table, markdown, _ = made(study, reported, tmp_path, "table_hyperparameters",
                              in_distribution=["cifar10"])  # fmt: skip
    chosen = table[table.chosen].drop_duplicates("hyperparameter").set_index("hyperparameter")
    assert chosen.loc["lambda"].setting == 0.5 and chosen.loc["tau"].setting == 0.04
    thesis = table[table.chosen_in_thesis].drop_duplicates("hyperparameter")
    assert list(thesis.setting) == [1.0, 0.04]
    assert list(table[table.hyperparameter == "lambda"].setting.unique()) == [0, 0.5, 1, 2]
    taus = table[(table.hyperparameter == "tau") & (table.metric == "sensitivity")]
    assert taus[taus.setting == 0.04].measured.item() == pytest.approx(50.0)  # of 51 and 49
    assert "**52.00**" in markdown


TABLES = {
    "table_ood_auroc": "table_6_1",
    "table_negative_sampling": "table_6_2",
    "table_quality": None,
    "table_hyperparameters": None,
    "table_claims": None,
}
CLAIMS = {"claims": "section 6", "near": "cifar100", "far": "texture"}


@pytest.mark.parametrize("name", TABLES)
def test_no_reported_value_where_none_is_to_be_shown(made, study, marked, tmp_path, name):
    study.thesis(seeds=[0])
    options = CLAIMS | {"reported": TABLES[name]}
    table, markdown, tex = made(study, marked, tmp_path, name, show_reported=False, **options)
    text = markdown + tex + table.to_csv()
    assert "77.77" not in text
    for words in ("Geometric", "SSD", "MTL", "eported (", "hesis |"):
        assert words not in text
    if "reported" in table:
        assert table.reported.isna().all()
    shown, markdown, tex = made(study, marked, tmp_path, name, show_reported=True, **options)
    if TABLES[name] or name == "table_claims":
        assert "77.77" in markdown and "77.77" in tex and "77.77" in shown.to_csv()


def test_the_same_metrics_give_the_same_bytes(made, study, reported, tmp_path):
    study.thesis(seeds=[0])
    first = made(study, reported, tmp_path, "table_claims", **CLAIMS)
    again = made(study, reported, tmp_path, "table_claims", **CLAIMS)
    assert first[1:] == again[1:]


def test_an_unknown_table_is_named(study, reported, tmp_path):
    with pytest.raises(UserError, match="unknown form of a table 'nothing'"):
        make_table(study.spec("table_nothing"), Files(reported=reported), tmp_path / "t")


def test_a_missing_metrics_file_is_named(study, reported, tmp_path):
    study.thesis(seeds=[0])
    with pytest.raises(UserError, match="nowhere"):
        files = Files([tmp_path / "nowhere.parquet"], reported=reported)
        make_table(study.spec("table_quality"), files, tmp_path / "t")


def test_bold_marks_all_that_print_the_same():
    cells = [Cell("model"), Cell("90.00"), Cell("91.00"), Cell("91.00"), Cell("—")]
    assert [c.bold for c in embolden(cells, [1, 2, 3, 4])] == [False, False, True, True, False]
    assert [c.bold for c in embolden(cells, [1, 2, 3, 4], smallest=True)][1]


def test_latex_escapes_what_would_break_it():
    assert latex("a_b & 5 % ± −1 λ") == r"a\_b \& 5 \% $\pm$ $-$1 $\lambda$"
    table = Table("table_x", "50 %", ["a_b", "c"], [[Cell("x"), Cell("1", " ± 2", True)]], [])
    text = to_latex(table)
    assert r"\caption{50 \%}" in text and r"x & \textbf{1} $\pm$ 2 \\" in text
    assert text.count("{") == text.count("}")
    assert to_markdown(table).splitlines()[-1] == "| x   | **1** ± 2 |"


def test_the_command_line_makes_a_table(study, reported, tmp_path):
    import argparse

    from ssl_ood.report import commands as report_commands

    two_strategies(study)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(study.spec("table_negative_sampling")))
    parser = argparse.ArgumentParser()
    report_commands.add_parsers(parser.add_subparsers())
    options = parser.parse_args(
        ["table", "--spec", str(spec), "--measurements",
         *map(str, study.write()), "--reported", str(reported), "--output", str(tmp_path / "t")]
    )  # fmt: skip
    options.run(options)
    assert (tmp_path / "t.tex").exists()
