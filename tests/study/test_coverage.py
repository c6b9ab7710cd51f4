"""docs/coverage.md says of every system, table and figure of the thesis what is true of it."""

from __future__ import annotations

import csv

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import parse_yaml
from ssl_ood.common.registry import lookup, names
from ssl_ood.study.coverage import COVERAGE, coverage_page, read_coverage, summary
from ssl_ood.study.paths import CLONE
from ssl_ood.study.read import read_study

# What reported files call the systems that the coverage calls otherwise.
CALLED = {
    "Deep Anomaly Detection": "Deep AD",
    "Automated Abnormality Classification": "Automated abnormality classification",
    "Radiomic Features": "Radiomic features",
    "Contrastive (chapter 5)": "Momentum contrast",
    "glow": "Glow",
}


@pytest.fixture(scope="module")
def items():
    return read_coverage()


def test_what_runs_is_a_target_or_a_method(items):
    experiments = read_study(parse_yaml((CLONE / "config.yaml").read_text(encoding="utf-8")))
    for item in items:
        if item.status == "runs":
            known = names("method") if item.kind == "system" else experiments.targets
            assert set(item.names) <= set(known), item
        if item.status == "setting":
            assert all(lookup("method", n.removeprefix("methods.")) for n in item.names), item


def test_every_method_and_every_quoted_system_is_covered(items):
    covered = {item.item for item in items if item.kind == "system"}
    run = {name for item in items if item.kind == "system" for name in item.names}
    assert set(names("method")) <= run | {"toy"}
    for path in (CLONE / "resources" / "reported").glob("*.csv"):
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("variant") == "" and row["method"]:
                    assert CALLED.get(row["method"], row["method"]) in covered, (path, row)


def test_every_target_of_a_chapter_is_named(items):
    """But for those that the thesis has in words only."""
    named = {name for item in items for name in item.names}
    experiments = read_study(parse_yaml((CLONE / "config.yaml").read_text(encoding="utf-8")))
    words_only = {
        "table_quality", "table_hyperparameters", "table_pretraining", "table_label_efficiency",
        "table_protocol_choices", "table_protocol", "table_pretext", "table_scores_medical",
    }  # fmt: skip
    beside = ("table_claims", "table_shortcuts", "figure_learning_curves")
    shown = {name for name in experiments.targets if not name.startswith(beside)}
    assert shown - named <= words_only


def test_the_page_is_that_of_the_rows(items):
    page = (CLONE / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert page == coverage_page(items)
    assert summary(items) in page
    assert summary(items) in (CLONE / "README.md").read_text(encoding="utf-8")


def test_what_does_not_run_says_why(items, tmp_path):
    assert all(item.why for item in items if item.status in ("quoted", "not_built"))
    text = COVERAGE.read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith("ConVIRT,"))
    faulty = tmp_path / "coverage.csv"
    faulty.write_text(text.replace(line, "ConVIRT,system,5,851,quoted,,"), encoding="utf-8")
    with pytest.raises(UserError, match=r"row \d+ is wrong at why"):
        read_coverage(faulty)
