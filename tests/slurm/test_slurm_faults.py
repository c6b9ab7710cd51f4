"""What clusters do to a job, on a live SLURM; each training ends with the undisturbed weights.

The faults wait for SLURM more than they compute, so those that leave each other alone are played
at the same time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from clone import LOCAL, PATIENCE, STUDY, SlurmTraining, end, wait

pytestmark = pytest.mark.slurm

RUN = "natural-fashion_low-none-base-seed0"
LONGER = (*STUDY, "tests/slurm/faults.yaml")


@pytest.fixture(scope="module")
def left_alone(local, tmp_path_factory) -> SlurmTraining:
    """The run without any fault, and without SLURM."""
    clone = local.copy(tmp_path_factory.mktemp("left_alone") / "clone")
    training = SlurmTraining(clone, RUN)
    clone.finish(training.targets, *LOCAL, study=LONGER)
    return training


@pytest.fixture(scope="module")
def undisturbed(left_alone) -> bytes:
    """Its weights."""
    return left_alone.weights.read_bytes()


@pytest.fixture(scope="module")
def played(cluster, local, undisturbed, tmp_path_factory):
    """The result of every fault that can be played beside others: a future by name."""
    faults = (scancelled, two_time_limits, snakemake_killed)
    with ThreadPoolExecutor(len(faults)) as pool:
        futures = {}
        for fault in faults:
            clone = local.copy(tmp_path_factory.mktemp(fault.__name__) / "clone")
            futures[fault.__name__] = pool.submit(play, fault, SlurmTraining(clone, RUN), cluster)
        yield futures


def play(fault, training: SlurmTraining, cluster) -> SlurmTraining:
    """Trains, plays the fault when 20 steps are done, and waits for the end."""
    snakemake = training.start(LONGER)
    try:
        training.wait_for_step(20, snakemake)
        snakemake = fault(training, cluster, snakemake) or snakemake
        assert snakemake.wait(PATIENCE) == 0, training.clone.log
    finally:
        end(snakemake)
    return training


def repeated(training: SlurmTraining) -> int:
    """Steps that were done again, as the run itself tells."""
    return json.loads(training.weights.with_name("train.json").read_text())["repeated_steps"]


def scancelled(training, cluster, snakemake):
    """By an administrator, or by the user."""
    subprocess.run(["scancel", training.holder()[1]], check=True)


def two_time_limits(training, cluster, snakemake):
    """The time limit comes near, twice. SLURM looks every 30 s; the training stands until then."""
    limits = []
    for _ in range(2):
        process, job = training.holder()
        limits.append(cluster.minutes_granted(job))
        os.kill(process, signal.SIGSTOP)
        subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)
        step = training.newest_step()
        wait(lambda old=job: training.holder()[1] != old, training.clone, snakemake)
        training.wait_for_step(step + 20, snakemake)
    assert limits[1] == 2 * limits[0]


def snakemake_killed(training, cluster, snakemake):
    """Snakemake is killed and started again while its job still trains: the new job waits."""
    process, _ = training.holder()
    os.kill(process, signal.SIGSTOP)
    end(snakemake)
    training.clone.finish(training.targets, "--unlock", *LOCAL, study=LONGER)
    again = training.start(LONGER)
    log = training.clone.results("logs", "train", f"{RUN}.log")
    said = f"waiting for the process {process} on"
    wait(lambda: log.exists() and said in log.read_text(), training.clone, again)
    os.kill(process, signal.SIGCONT)
    return again


def test_a_cancelled_job_runs_again_and_resumes(played, undisturbed, survived):
    training = played["scancelled"].result()
    assert training.weights.read_bytes() == undisturbed
    assert "saved when it was told to stop" in training.log
    assert repeated(training) == 0
    survived("scancel", 1, 0)


def test_a_time_limit_that_strikes_twice_costs_nothing(played, undisturbed, survived):
    training = played["two_time_limits"].result()
    assert training.weights.read_bytes() == undisturbed
    assert training.log.count("saved when it was told to stop") == 2
    assert repeated(training) == 0
    survived("time limit", 2, 0)


def test_snakemake_may_be_killed_and_started_again(played, left_alone, undisturbed, survived):
    training = played["snakemake_killed"].result()
    assert training.weights.read_bytes() == undisturbed
    tables = []
    for disturbed_or_not in (training, left_alone):
        clone = disturbed_or_not.clone
        clone.finish(("table_quality",), *LOCAL, study=LONGER)
        tables.append(clone.results("tables", "table_quality.csv").read_bytes())
    assert tables[0] == tables[1]
    assert "was trained to the end before; its outputs are written again" in training.log
    assert repeated(training) == 0
    survived("Snakemake killed and started again", 1, 0)


@pytest.fixture
def alone(cluster, local, played, tmp_path):
    """A function: plays a fault that hits all jobs of the cluster; the training, and its job."""

    def play_alone(fault):
        for other in played.values():
            other.exception()  # waits for its end
        training = play(fault, SlurmTraining(local.copy(tmp_path / "clone"), RUN), cluster)
        job = training.holder()[1]
        return training, next(ended for ended in cluster.jobs() if ended.id == job)

    return play_alone


def test_a_node_that_goes_down_under_a_job(alone, undisturbed, survived):
    def node_down(training, cluster, snakemake):
        """It stays down until the training resumes: on the other node."""
        step, node = training.newest_step(), cluster.node_of(training.holder()[1])
        cluster.set_node(node, "down")
        try:
            training.wait_for_step(step + 20, snakemake)
        finally:
            cluster.set_node(node, "resume")

    training, job = alone(node_down)
    assert training.weights.read_bytes() == undisturbed
    assert job.restarts == 1
    assert len({*job.nodes}) == len(job.nodes) == 2
    survived("node down", 1, repeated(training))


def test_a_preempted_job_is_queued_again_and_resumes(alone, undisturbed, survived):
    def preempted(training, cluster, snakemake):
        cluster.preempt(cluster.node_of(training.holder()[1]))

    training, job = alone(preempted)
    assert training.weights.read_bytes() == undisturbed
    assert job.restarts == 1
    assert "saved when it was told to stop" in training.log
    survived("preemption", 1, repeated(training))


def test_a_clock_that_makes_outputs_look_old_trains_nothing_again(
    left_alone, undisturbed, played, survived
):
    """Snakemake goes by the times of files; a training that it starts anew finds its result."""
    clone = left_alone.clone
    for packed in clone.results("data").rglob("meta.json"):
        packed.write_bytes(packed.read_bytes() + b" ")  # else Snakemake sees the same checksum
        os.utime(packed)
    for _ in range(2):  # the proofs of the splits come first, and alone
        clone.finish(left_alone.targets, *LOCAL, study=LONGER)
    assert clone.log.count("Finished jobid: 0 (Rule: train)") == 2
    assert left_alone.weights.read_bytes() == undisturbed
    assert "was trained to the end before" in left_alone.log
    survived("clock that makes finished outputs look old", 1, repeated(left_alone))
