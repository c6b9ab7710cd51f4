"""Chapter 4 in one table: methods of several studies, with the hours of their trainings."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.common.hashing import sha256_of
from ssl_ood.report.make import Files, make_table

OOD = ["cifar100", "svhn"]
ROTATION = {"study": "pretext_rotation", "method": "rotation"}


@pytest.fixture
def made(study, tmp_path):
    """A function: the table of rotation prediction, two seeds of SimCLR and the untrained network.

    hours: of SimCLR's seeds and rotation; status: of SimCLR's runs."""

    def run(study_name, method, seed, value, variant="base"):
        name = study.run("cifar10", "none", seed, variant, OOD, study=study_name)
        study.runs[-1] |= {"method": method}
        for ood, offset in (("cifar100", 0.0), ("svhn", 0.1)):
            study.add(name, "auroc", value + offset, ood=ood, score="mahalanobis")
            study.add(name, "auroc", 0.3, ood=ood, score="cosine_max")
        study.add(name, "sensitivity", value - 0.2, score="mahalanobis")
        study.add(name, "knn_accuracy", value + 0.05)
        return study.runs[-1]

    def make(hours=(1.0, 2.0, 0.5), status=None):
        others = [run("pretext_simclr", "simclr", seed, 0.7 + seed / 50) for seed in (0, 1)]
        own = [run("pretext_rotation", "rotation", 0, 0.6)]
        own.append(run("pretext_rotation", "rotation", 0, 0.9, "untrained"))
        logs = []
        for each, spent in zip([*others, *own], [*hours, 0.0], strict=True):
            folder = tmp_path / "runs" / each["run"]
            folder.mkdir(parents=True)
            (folder / "log.jsonl").write_text('{"kind": "epoch", "step": 1, "epoch": 1}\n')
            told = {"log_sha256": sha256_of(folder / "log.jsonl"), "seconds": 3600 * spent}
            (folder / "train.json").write_text(json.dumps(told | {"devices": 2}))
            logs.append(folder / "log.jsonl")
        if status:
            for each in others:
                study.without(each["run"], status)
                each["status"] = status
        spec = study.spec("table_pretext", in_distribution=["cifar10"], near=OOD[0], far=OOD[1])
        scores = spec["evaluation"] | {"scores": ["mahalanobis", "cosine_max"]}
        simclr = {"score": None, "evaluation": scores, "runs": others}
        spec |= {"evaluation": scores, "runs": own, "baselines": {"SimCLR": simclr}}
        make_table(spec, Files(study.write(), history=logs), tmp_path / "t")
        return pd.read_csv(tmp_path / "t.csv"), (tmp_path / "t.md").read_text()

    return make


def row_of(markdown, start):
    (line,) = (x for x in markdown.splitlines() if x.startswith(f"| {start} "))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_method_is_a_row_with_its_accuracy_aurocs_sensitivity_and_hours(made):
    table, markdown = made()
    assert row_of(markdown, "Rotation prediction") == ["65.00", "40.00", "60.00", "70.00", "1.00"]
    # Two seeds on two devices: 2 and 4 hours.
    assert row_of(markdown, "SimCLR") == [
        "**76.00** ± 1.41", "**51.00** ± 1.41", "**71.00** ± 1.41", "**81.00** ± 1.41",
        "3.00 ± 1.41",
    ]  # fmt: skip
    # Better, and not in bold: it is not trained.
    assert row_of(markdown, "Untrained network") == ["95.00", "70.00", "90.00", "100.00", "0.00"]
    row = table.set_index(["system", "metric"]).loc[("SimCLR", "training_hours")]
    assert (row.measured, row.unit, row.n, row.method) == (3.0, "hours", 2, "simclr")


def test_a_method_that_waits_for_its_data_says_so(made):
    table, markdown = made(status="no_data")
    assert row_of(markdown, "SimCLR") == ["no data"] * 5
    assert set(table[table.system == "SimCLR"].status) == {"no_data"}


def test_a_log_that_was_changed_is_refused(made, tmp_path, monkeypatch):
    made()
    log = tmp_path / "runs" / "pretext_simclr-cifar10-none-base-seed0" / "log.jsonl"
    log.write_text("{}\n")
    from ssl_ood.report.history import device_hours

    run = {"run": log.parent.name}
    with pytest.raises(UserError, match="it is not what the training wrote"):
        device_hours([log], {"name": "table_pretext", "runs": [run]})
    with pytest.raises(UserError, match="there is no log of"):
        device_hours([], {"name": "table_pretext", "runs": [run]})
