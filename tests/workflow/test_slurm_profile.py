"""`snakemake --profile slurm`: the dry-run that needs no SLURM, and the facts of a site."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = {
    "SBATCH_ACCOUNT": "lab-1", "SBATCH_PARTITION": "gpu", "SBATCH_QOS": "long",
    "SBATCH_CONSTRAINT": "a|b", "SSL_OOD_GPU_MODEL": "a100",
}  # fmt: skip
TARGETS = ["table_ood_auroc", "--profile", "slurm", "-n", "--nocolor"]
# Plans with all data, whatever is there, and our own four trainings alone.
STRICT = ["--config", "strict=true", "tables={table_ood_auroc: {baselines: null}}"]


def dry_run(site: dict[str, str], path: str, *more: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SBATCH_", "SSL_OOD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *TARGETS, *STRICT, *more],
        cwd=ROOT, env=kept | {"PATH": path} | site, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def resources_of(rule: str, said: str) -> list[dict[str, str]]:
    """The resources of every job of the rule that a dry-run would start, also in a group."""
    blocks = re.findall(rf"^ *rule {rule}:\n((?:    .*\n)+)", said, re.MULTILINE)
    lines = [re.search(r"resources: (.*)", block)[1] for block in blocks]
    return [dict(pair.split("=", 1) for pair in line.split(", ")) for line in lines]


@pytest.fixture(scope="module")
def without_slurm(tmp_path_factory) -> str:
    """What a dry-run says where there is neither SLURM nor anything known of a site."""
    programs = tmp_path_factory.mktemp("programs")
    for name in ("which", "sh", "bash"):  # all that the plugin and Snakemake call
        (programs / name).symlink_to(shutil.which(name))
    return dry_run({}, str(programs))


def test_a_dry_run_needs_neither_slurm_nor_a_site(without_slurm):
    train = resources_of("train", without_slurm)
    assert len(train) == 4
    for job in train:
        assert (job["gpu"], job["mem_mb"], job["nodes"]) == ("1", "32000", "1")
        assert int(job["runtime"]) > 50_000 * 500 / 600 / 60
        assert job["slurm_extra"] == "--signal=TERM@120 --open-mode=append"
        assert not {"slurm_account", "slurm_partition", "qos", "constraint", "gpu_model"} & set(job)


def test_every_job_on_the_cluster_says_how_much_memory_and_time_it_needs(without_slurm):
    for rule in ("pack_dataset", "build_negatives", "train", "evaluate"):
        jobs = resources_of(rule, without_slurm)
        assert jobs, rule
        assert all(int(job["mem_mb"]) >= 1000 and int(job["runtime"]) >= 10 for job in jobs), rule


def test_the_site_comes_from_the_environment_and_the_gpu_model_is_for_gpu_jobs():
    said = dry_run(SITE, os.environ["PATH"])
    for rule, model in (("train", "a100"), ("evaluate", "a100")):
        jobs = resources_of(rule, said)
        assert len(jobs) == 4, rule
        for job in jobs:
            found = [job.get(k) for k in ("slurm_account", "slurm_partition", "qos", "constraint")]
            assert found == ["lab-1", "gpu", "long", "a|b"]
            assert job.get("gpu_model") == model


def test_a_training_longer_than_the_longest_job_gets_as_much_as_there_is(tmp_path):
    layer = tmp_path / "short_jobs.yaml"
    layer.write_text("execution: {max_minutes: 240}\n")
    said = dry_run({}, os.environ["PATH"], "--configfile", str(layer))
    assert {job["runtime"] for job in resources_of("train", said)} == {"240"}


def test_the_time_limit_follows_the_speed_that_was_measured_here(tmp_path):
    """A training of the same study and dataset that has ended tells what the next take."""
    ended = tmp_path / "runs" / "natural-cifar10-none-base-seed0"
    ended.mkdir(parents=True)
    told = {"images_per_second": 2 * 1200.0, "devices": 2, "device_peak_bytes": 1}
    (ended / "train.json").write_text(json.dumps(told))
    said = dry_run({}, os.environ["PATH"], f"results_dir={tmp_path}")
    limits = sorted(int(job["runtime"]) for job in resources_of("train", said))
    # CIFAR10's and CIFAR100's; of an image with two negatives (`combined`) and with one. What was
    # measured is of none: 14 to 23 of the cost with one, 32 to 23 are those of two. The longest
    # job has 1,440 minutes.
    assert limits == sorted(
        min(int(30 + 1.5 * 50_000 * 500 * work / speed / 60), 1440)
        for speed in (600, 1200 * 14 / 23)
        for work in (1, 32 / 23)
    )


def test_the_plugin_asks_for_states_where_the_workflow_reads_them():
    """`read_cancelled_as_cancelled` stands between the two; the test of scancel needs it."""
    import snakemake_executor_plugin_slurm as plugin

    assert inspect.iscoroutinefunction(plugin.query_job_status)
    assert [*inspect.signature(plugin.query_job_status).parameters] == ["command", "logger"]
    assert "await query_job_status(" in inspect.getsource(plugin.Executor.check_active_jobs)
