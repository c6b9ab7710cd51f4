"""What sacct says of the jobs of a study stands in its costs; without sacct, nothing changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ssl_ood.common.slurm import JOBS, JOBS_FOLDER, write_down_job
from ssl_ood.study import costs as plan
from ssl_ood.study.slurm_costs import COLUMNS, Used, read_sacct, seconds_of

# What SLURM 22.05 said of a job of 300 MB, and of one that was preempted once.
SAID = """\
1|5|00:02.315|
1.batch|5|00:00.012|10684K
1.0|4|00:02.302|306388K
7|60|01:00.500|
7.batch|60|00:00.010|4M
7.0|59|01:00.490|1G
7|3600|1-00:30:00|
7.0|3590|1-00:30:00|2.5G
8|0|00:00:00|
"""


def test_a_job_is_the_sum_of_its_starts_and_its_largest_task():
    used = read_sacct(SAID)
    assert used["1"] == Used(5, 2.315, 306388 * 1024)
    assert used["7"].seconds == 3660
    assert used["7"].cpu_seconds == pytest.approx(60.5 + 86400 + 1800)
    assert used["7"].peak_bytes == 2.5 * 2**30
    assert used["8"] == Used(0, 0, 0)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("", 0), ("00:00:00", 0), ("00:02.315", 2.315), ("01:02:03", 3723), ("2-00:00:01", 172801)],
)
def test_durations(duration, seconds):
    assert seconds_of(duration) == pytest.approx(seconds)


@pytest.fixture
def study(thesis, load, tmp_path):
    """The thesis-scale experiments, of which two trainings have ended in jobs."""
    places = {"results_dir": str(tmp_path), "downloads_dir": str(tmp_path)}
    experiments = load(thesis | places | {"strict": True})
    first, second = (run.id for run in experiments.targets["table_ood_auroc"].runs[:2])
    folder = tmp_path / JOBS_FOLDER
    folder.mkdir(parents=True)
    lines = [json.dumps({"cluster": "test", "job": job}) for job in ("1", "7", "7", "99")]
    (folder / f"{first}.jsonl").write_text("\n".join(lines) + '\n{"clus')
    (folder / f"{second}.jsonl").write_text(lines[1] + "\n")
    return experiments


@pytest.fixture
def sacct(tmp_path, monkeypatch):
    """A function: puts a sacct on the PATH that ends so; the file of its calls."""

    def install(code=0):
        programs, calls = tmp_path / "programs", tmp_path / "calls"
        programs.mkdir()
        program = programs / "sacct"
        program.write_text(f"#!/bin/sh\necho $* >> {calls}\ncat <<'E'\n{SAID}E\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        return calls

    return install


def test_jobs_that_runs_and_tables_share_count_once(study, sacct):
    calls = sacct()
    rows = {row["target"]: row for row in plan.costs(study)}
    for target in ("table_ood_auroc", "together"):
        jobs, hours, cpu_hours, peak = (rows[target][column] for column in COLUMNS)
        assert jobs == 2  # 1 and 7; 99 is unknown
        assert hours == pytest.approx(3665 / 3600)
        assert cpu_hours == pytest.approx((2.315 + 60.5 + 88200) / 3600)
        assert peak == pytest.approx(2.5 * 2**30 / 1e9)
    untouched = next(row for row in rows.values() if row["slurm_jobs"] == 0)
    assert [untouched[column] for column in COLUMNS] == [0, 0, 0, 0]
    assert len({tuple(row) for row in rows.values()}) == 1  # the same columns
    (call,) = calls.read_text().splitlines()
    assert "--clusters=test --jobs=1,7,99" in call
    assert "--duplicates" in call


@pytest.mark.parametrize("there", ["not at all", "failing"])
def test_without_an_answer_the_costs_are_those_without_slurm(study, sacct, monkeypatch, there):
    if there == "failing":
        sacct(code=1)
    else:
        monkeypatch.setenv("PATH", "")
    for row in plan.costs(study):
        assert not set(COLUMNS) & set(row)


def test_a_job_writes_its_number_down_for_its_run(tmp_path, monkeypatch):
    folder = tmp_path / JOBS_FOLDER
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv(JOBS, str(folder))
    write_down_job("a-run")
    assert not folder.exists()
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "test")
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        write_down_job("a-run")
    told = [json.loads(line) for line in Path(folder, "a-run.jsonl").read_text().splitlines()]
    assert told == [{"cluster": "test", "job": "7"}, {"cluster": "test", "job": "8"}]
    monkeypatch.setenv(JOBS, "/dev/null/no/folder")
    write_down_job("a-run")  # no place to write to: the job goes on
    monkeypatch.delenv(JOBS)
    write_down_job("a-run")
