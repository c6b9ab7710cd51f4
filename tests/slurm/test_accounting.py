"""What jobs used, measured by SLURM itself: sacct, slurmdbd and MariaDB on the test cluster."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from clone import STUDY
from slurm_files import CLUSTER

from ssl_ood.study.slurm_costs import COLUMNS

pytestmark = pytest.mark.slurm

STAGES = {"train", "evaluate"}
HOURS_AND_PEAKS = ("training_hours", "evaluation_hours", "host_peak_gb", *COLUMNS)


@pytest.fixture(scope="module")
def on_the_books(accounted, through_slurm):
    """(clone, jobs): all tables, made with sacct as the status command."""
    return through_slurm


@pytest.fixture(scope="module")
def costs(on_the_books) -> dict[str, dict[str, str]]:
    """The rows of `ssl_ood costs`, by table."""
    clone, _ = on_the_books
    command = [sys.executable, "-m", "ssl_ood", "costs", "--output", "costs", "--configfile"]
    environment = os.environ | {"PYTHONPATH": str(clone.folder / "workflow")}
    subprocess.run([*command, "config.yaml", *STUDY], cwd=clone.folder, env=environment, check=True)
    with open(clone.folder / "costs.csv", newline="") as file:
        return {row["target"]: row for row in csv.DictReader(file)}


def test_sacct_knows_every_job_by_rule_and_state(on_the_books):
    _, jobs = on_the_books
    said = subprocess.run(
        ["sacct", "-X", "-n", "-P", "--format=JobIDRaw,Comment,State", "--starttime=now-1day"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    known = {tuple(line.split("|")) for line in said.splitlines()}
    assert {(job.id, job.comment, "COMPLETED") for job in jobs} <= known


def test_costs_are_those_of_the_jobs_of_trainings_and_evaluations(on_the_books, costs):
    clone, jobs = on_the_books
    row = costs["together"]
    ours = [job for job in jobs if job.comment.removeprefix("rule_").split("_w")[0] in STAGES]
    assert int(row["slurm_jobs"]) == len(ours) == 10
    written = clone.results("benchmarks", "slurm").glob("*.jsonl")
    told = [json.loads(line) for path in written for line in path.read_text().splitlines()]
    assert sorted(one["job"] for one in told) == sorted(job.id for job in ours)
    assert {one["cluster"] for one in told} == {CLUSTER}


def test_what_slurm_measured_agrees_with_what_the_stages_did(costs):
    """A job is longer than the training in it, and uses as much memory as its process saw."""
    row = {key: float(value) for key, value in costs["together"].items() if key in HOURS_AND_PEAKS}
    within = row["training_hours"] + row["evaluation_hours"]
    assert within < row["slurm_hours"] < within + 10 * 60 / 3600
    assert row["slurm_cpu_hours"] > 0
    assert row["slurm_peak_gb"] > 0.5 * row["host_peak_gb"]


def test_the_efficiency_report_has_every_job(on_the_books):
    clone, jobs = on_the_books
    (path,) = clone.folder.joinpath("results", "logs", "slurm").glob("efficiency_report_*.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["MainJobID"] for row in rows} == {job.id for job in jobs}
    trained = [row for row in rows if row["RuleName"].startswith("rule_train_")]
    assert trained
    for row in trained:
        assert float(row["MaxRSS_MB"]) > 0
        assert float(row["CPU Efficiency (%)"]) > 0
