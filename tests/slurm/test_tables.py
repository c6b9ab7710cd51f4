"""The tables of chapter 6 through `snakemake --profile slurm` on a live SLURM."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from clone import LOCAL, PATIENCE, SLURM, STUDY, TABLES
from tiny_run import fill

pytestmark = pytest.mark.slurm

ON_GPU = {"train", "evaluate"}


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_is_that_of_the_local_run(through_slurm, local, table):
    def cells(clone):
        path = clone.results("tables", f"{table}.csv")
        return list(csv.reader(path.read_text().splitlines()))

    assert len(cells(local)) > 1
    assert cells(through_slurm[0]) == cells(local)


def test_jobs_have_the_gpus_that_they_asked_for_and_no_others_ran(through_slurm):
    _, jobs = through_slurm
    names = [job.comment.removeprefix("rule_").split("_wildcards_")[0] for job in jobs]
    seen = list(zip(names, (job.gpus for job in jobs), strict=True))
    assert {*names} == {"pack_dataset", "build_negatives", "train", "evaluate", "shortcuts"}
    assert all(gpus == (rule in ON_GPU) for rule, gpus in seen)
    assert names.count("train") == names.count("evaluate") == 5
    assert {job.state for job in jobs} == {"COMPLETED"}


def test_a_step_sees_all_gpus_of_its_job(cluster, tmp_path):
    """The plugin starts a step inside the job; torchrun needs every GPU there."""
    (tmp_path / "Snakefile").write_text(
        "rule gpus:\n"
        "    output: 'gpus'\n"
        "    resources: gpu=3, mem_mb=500, runtime=5\n"
        "    shell: 'echo $CUDA_VISIBLE_DEVICES > {output}'\n"
    )
    command = [
        sys.executable, "-m", "snakemake", "gpus", "--executor", "slurm", "--jobs", "1",
        "--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gpus").read_text() == "0,1,2\n"


def test_a_training_on_two_devices_of_one_node(cluster, local, tmp_path):
    """torchrun inside the job: two GPUs, two processes, the effective batch of one."""
    clone, run = local.copy(tmp_path / "clone"), "natural-fashion_low-rot_imgn-base-seed0"
    summary = clone.results("runs", run, "train.json")
    clone.finish(
        (str(summary.relative_to(clone.folder)),), *SLURM,
        study=(*STUDY, "tests/slurm/two_devices.yaml"),
    )  # fmt: skip
    assert cluster.jobs()[-1].gpus == 2
    told = json.loads(summary.read_text())
    assert told["devices"] == 2
    one = json.loads(local.results("runs", run, "train.json").read_text())
    assert told["last_epoch"]["loss"] == pytest.approx(one["last_epoch"]["loss"], rel=2e-3)


def test_nothing_is_left_to_do(through_slurm):
    clone, _ = through_slurm
    clone.finish(TABLES, *LOCAL)
    assert "Nothing to be done" in clone.log


def test_a_table_that_finds_the_disk_full_is_whole_or_not_there(local, small_disk, survived):
    name = "table_negative_sampling"
    runs = ("natural-fashion_low-none-base-seed0", "natural-fashion_low-rot_imgn-base-seed0")
    command = [
        sys.executable, "-m", "ssl_ood", "table",
        "--spec", str(local.results("specs", f"{name}.json")), "--reported", "resources/reported",
        "--measurements",
        *(str(local.results("measurements", f"{run}.parquet")) for run in runs),
        "--shortcuts", str(local.results("shortcuts", "natural-fashion_low.parquet")),
        "--output", str(small_disk / name),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(local.folder / "workflow")}
    filler = fill(small_disk)
    failed = subprocess.run(command, cwd=local.folder, env=environment, stderr=subprocess.DEVNULL)
    assert failed.returncode != 0
    assert [path.name for path in small_disk.iterdir()] == [filler.name]
    filler.unlink()
    subprocess.run(command, cwd=local.folder, env=environment, check=True)
    for suffix in (".csv", ".md", ".tex"):
        made = (small_disk / name).with_suffix(suffix)
        assert made.read_bytes() == local.results("tables", f"{name}{suffix}").read_bytes()
    survived("disk full while a table is written", 1, 0)
