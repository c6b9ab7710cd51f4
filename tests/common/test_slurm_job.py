"""A job that SLURM preempts queues itself again; any other that is told to stop does not."""

from __future__ import annotations

import os

import pytest

from ssl_ood.common.slurm import requeue_if_preempted

PREEMPTED = "JobId=7 Requeue=1 Restarts=0 PreemptEligibleTime=2026-01-01T00:00:00 PreemptTime=2026"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A function: puts a scontrol on the PATH that answers so; returns the file of its calls."""

    def install(answer, code=0):
        program, calls = tmp_path / "scontrol", tmp_path / "calls"
        program.write_text(f"#!/bin/sh\necho $* >> {calls}\necho '{answer}'\nexit {code}\n")
        program.chmod(0o755)
        calls.touch()
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        return calls

    return install


def test_a_preempted_job_is_queued_again(asked):
    calls = asked(PREEMPTED)
    assert requeue_if_preempted()
    assert calls.read_text() == "show job 7\nrequeue 7\n"


@pytest.mark.parametrize(
    ("why", "answer", "code"),
    [
        (
            "cancelled or near its limit",
            PREEMPTED.replace("PreemptTime=2026", "PreemptTime=None"),
            0,
        ),
        ("not to be queued again", PREEMPTED.replace("Requeue=1", "Requeue=0"), 0),
        ("scontrol fails", PREEMPTED, 1),
    ],
)
def test_another_job_is_not(asked, why, answer, code):
    calls = asked(answer, code)
    assert not requeue_if_preempted()
    assert calls.read_text() == "show job 7\n"


def test_a_process_outside_slurm_asks_nobody(asked, monkeypatch):
    calls = asked(PREEMPTED)
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not requeue_if_preempted()
    assert calls.read_text() == ""
