"""A request above what a partition grants: what SLURM does with it, and what the workflow does."""

from __future__ import annotations

import subprocess
import time

import pytest
from clone import PATIENCE, SLURM, TABLES, end
from slurm_files import CPUS, MEMORY_MB, SHORT_MINUTES

pytestmark = pytest.mark.slurm


def refusal(local, folder, site, *more: str) -> str:
    """What the Snakemake of an empty clone says that ends without a job."""
    clone = local.copy(folder / "clone")
    process = clone.start(TABLES, *SLURM, *more, site=site)
    try:
        assert process.wait(PATIENCE) == 1, clone.log
    finally:
        end(process)
    assert "submitted with SLURM jobid" not in clone.log
    return clone.log


def test_slurm_itself_would_let_a_job_wait_for_ever(cluster):
    command = ["sbatch", "--parsable", "-p", "short", "-t", str(SHORT_MINUTES + 1), "--mem=10"]
    job = subprocess.run(
        [*command, "-o/dev/null", "--wrap", "true"], capture_output=True, text=True, check=True
    ).stdout.strip()
    ask = ["squeue", "-h", "-j", job, "-o", "%T %r"]
    until = time.monotonic() + 30
    try:
        while (said := subprocess.check_output(ask, text=True).split())[1] != "PartitionTimeLimit":
            assert time.monotonic() < until, said
            time.sleep(0.5)
        assert said[0] == "PENDING"
    finally:
        subprocess.run(["scancel", job], check=True)


def test_a_time_above_the_partition_is_one_sentence_before_the_first_job(cluster, local, tmp_path):
    said = refusal(local, tmp_path, {"SBATCH_PARTITION": "short"})
    assert f"minutes, and the partition short grants {SHORT_MINUTES} at most: set execution" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        (f"train:mem_mb={MEMORY_MB + 1}", f"{MEMORY_MB + 1} MB of memory, and the partition main"),
        (f"evaluate:cpus_per_task={CPUS + 1}", f"{CPUS + 1} CPUs, and the partition main grants"),
        ("train:gpu=5", "5 GPUs, and the partition main grants 4 at most"),
        ("train:slurm_partition=gpus", "no partition gpus: there are main, short, urgent"),
    ],
)
def test_more_than_a_node_has_is_one_sentence(cluster, local, tmp_path, resource, sentence):
    said = refusal(local, tmp_path, {}, "--set-resources", resource)
    assert sentence in said
    assert "Traceback" not in said
