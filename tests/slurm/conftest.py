"""A SLURM for the session, a clone of the project, and the tally of the faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from clone import LOCAL, SLURM, TABLES, Clone, make_clone
from cluster import Cluster, Job, no_accounting, obstacle
from cluster import cluster as running_cluster
from tiny_run import TinyRun, write_data


@pytest.fixture
def survived(request):
    """A function that records survived faults: what they were, how many, steps repeated."""

    def record(fault: str, count: int, repeated: int) -> None:
        request.node.user_properties.append(("fault", json.dumps([fault, count, repeated])))

    return record


def pytest_runtest_logreport(report):
    if report.when == "call":
        TALLY.extend(json.loads(v) for k, v in report.user_properties if k == "fault")
        FAILED.extend([report.nodeid] * (report.failed and "_faults.py" in report.nodeid))


TALLY: list[list] = []
FAILED: list[str] = []  # tests of a fault that was not survived


def pytest_terminal_summary(terminalreporter):
    """The faults that were survived, and the work that they cost."""
    if not TALLY:
        return
    terminalreporter.section("faults survived")
    for fault, count, repeated in TALLY:
        terminalreporter.line(f"{fault}: {count}, {repeated} steps repeated")
    total, steps = (sum(row[i] for row in TALLY) for i in (1, 2))
    tried = total + len(FAILED)
    terminalreporter.line(f"{tried} faults tried, {total} survived, {steps} steps repeated")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Packed sets for the tiny run."""
    return write_data(tmp_path_factory.mktemp("data") / "packed")


@pytest.fixture(scope="session")
def expected(data, tmp_path_factory) -> bytes:
    """The weights of the tiny run that nothing disturbs."""
    return TinyRun(tmp_path_factory.mktemp("undisturbed"), data, checkpoint_minutes=60).finish()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A live SLURM. Where none can be started, what needs it is not run, and says why."""
    if problem := obstacle():
        pytest.skip(f"NOT RUN: {problem}")
    with running_cluster() as started:
        yield started


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Clone:
    """A clone in which the tables were made on this machine, without SLURM."""
    clone = make_clone(tmp_path_factory.mktemp("local") / "clone")
    clone.finish(TABLES, *LOCAL)
    return clone


@pytest.fixture(scope="session")
def through_slurm(cluster, tmp_path_factory) -> tuple[Clone, list[Job]]:
    """A clone in which the tables were made on the cluster, from nothing, and its jobs."""
    before = {job.id for job in cluster.jobs()}
    clone = make_clone(tmp_path_factory.mktemp("slurm") / "clone")
    clone.finish(TABLES, *SLURM)
    return clone, [job for job in cluster.jobs() if job.id not in before]


@pytest.fixture(scope="session")
def accounted(cluster) -> Cluster:
    """The cluster, with its accounting database. What needs it is not run without, and says so."""
    if problem := no_accounting():
        pytest.skip(f"NOT RUN: {problem}")
    return cluster


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 512 KiB: full soon."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
