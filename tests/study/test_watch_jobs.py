"""What `watch` makes of Snakemake's events: jobs, failures, the report, and the time left."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.watch import STUDY, failed, finished, info, plan, progress, read

from ssl_ood.study.watch.estimate import seconds_left
from ssl_ood.study.watch.jobs import SUMMARY, Jobs
from ssl_ood.study.watch.report import failure_report

SUMMARY_ERROR = {"event": "error", "time": 0.0, "exception": "WorkflowError",
                 "msg": f"WorkflowError:\n{SUMMARY}"}  # fmt: skip


def error(exception: str, msg: str) -> dict:
    return {"event": "error", "time": 0.0, "exception": exception, "msg": msg}


def test_jobs_are_counted_planned_and_running():
    jobs, notes = read(STUDY)
    assert (jobs.started, jobs.done, jobs.total, notes) == (True, 1, 5, [])
    assert jobs.planned == {"all": 1, "score": 2, "train": 2}
    assert jobs.running_rules() == {"train": 1} and str(jobs.known[6]) == "rule train (a)"
    assert jobs.seconds == {"train": [1.0]}


def test_an_event_of_another_kind_is_passed_over():
    assert read([{"event": "resources_info", "cores": 2}, {}]) == (Jobs(), [])


def test_failure_is_said_at_once_and_reported_once_with_the_end_of_its_log(tmp_path):
    (tmp_path / "a.log").write_text("early\n" * 50 + "ValueError: the reason\n")
    jobs, notes = read([*STUDY, failed(6, "train", "a.log"), SUMMARY_ERROR])
    assert notes == ["failed: rule train (a)"]
    assert failure_report(jobs, ["words"], tmp_path, lines=3) == (
        "rule train (a) failed\n    wildcards: run=a\n    log: a.log\n"
        "    python -m ssl_ood train\n\n"
        "The end of a.log:\n    early\n    early\n    ValueError: the reason"
    )


def test_the_exception_of_a_job_stands_with_its_failure(tmp_path):
    reason = error("RuleException", "RuleException:\nNameError: The name 'x' is unknown.")
    jobs, notes = read([*STUDY, reason, failed(6, "train")])
    assert notes == ["failed: rule train (a)"]
    report = failure_report(jobs, ["loose words"], tmp_path)
    assert "    NameError: The name 'x' is unknown.\n" in report
    assert report.endswith("The last lines that were printed:\n    loose words")


def test_a_job_without_its_outputs_is_said_and_reported(tmp_path):
    jobs, notes = read([*STUDY, error("MissingOutputException", "Missing in rule a:\nb.txt")])
    assert notes == ["failed: Missing in rule a"]
    assert failure_report(jobs, [], tmp_path) == "Missing in rule a:\nb.txt"


def test_a_mistake_in_the_config_is_reported_alone(tmp_path):
    jobs, notes = read([error("WorkflowError", "WorkflowError in line 3:\nunknown score")])
    assert notes == []
    assert failure_report(jobs, ["words"], tmp_path) == "WorkflowError in line 3:\nunknown score"


def test_failure_that_a_retry_mended_is_not_reported():
    jobs, notes = read(
        [*STUDY, failed(6, "train"), info(6, "train", run="a"), finished(6), progress(5, 5)]
    )
    assert notes == ["failed: rule train (a)", "  Snakemake tries it again: rule train (a)"]
    assert not jobs.failures and jobs.done == 5


def test_job_that_fails_twice_is_reported_once_with_its_last_log(tmp_path):
    again = [info(6, "train", run="a"), failed(6, "train", "second.log")]
    jobs, notes = read([*STUDY, failed(6, "train", "first.log"), *again])
    assert len(notes) == 3 and len(jobs.failures) == 1
    assert jobs.failures[0].logs == ["second.log"]


def test_report_names_every_job_of_a_rule_that_failed_twice(tmp_path):
    (tmp_path / "a.log").write_text("one")
    (tmp_path / "b.log").mkdir()
    jobs, _ = read([*STUDY, failed(6, "train", "a.log"), failed(9, "train", "b.log")])
    report = failure_report(jobs, [], tmp_path)
    assert "The end of a.log:\n    one" in report and "b.log cannot be read" in report


def test_group_that_fails_is_one_failure_of_all_its_jobs(tmp_path):
    (tmp_path / "a.log").write_text("the reason")
    (tmp_path / "slurm.log").write_text("out of memory")
    group = {"event": "group_error", "time": 0.0, "groupid": "g", "aux_logs": ["slurm.log"]}
    parts = [failed(6, "train", "a.log", indent=True), failed(7, "score", "b.log", indent=True)]
    start = [*STUDY, info(7, "score", run="a")]
    jobs, notes = read([*start, group | {"job_error_info": parts}, *parts])
    assert notes == ["failed: group of 2 jobs: rule train (a), rule score (a)"]
    assert not jobs.running
    report = failure_report(jobs, ["words"], tmp_path)
    assert "The end of a.log:\n    the reason" in report
    assert "The end of slurm.log:\n    out of memory" in report
    assert "The end of b.log" not in report and "words" not in report  # its turn did not come
    assert read([finished(6), finished(7)], jobs)[0].failures == []


def test_time_left_is_unknown_until_a_training_wrote_something():
    assert seconds_left(read(STUDY[:4])[0], [], 0.0, 10.0) is None


def test_time_left_from_running_trainings_and_mean_times():
    # Two trainings run since 0 and expect 30 s and 20 s more; two of 40 s wait behind them; of
    # three scores one is done (4 s): 30 + 20 + 2 x (10 + 30) + 2 x 4 s. So far (4 + 10 + 10) / 10
    # jobs ran at a time.
    begun = [plan(train=4, score=3), info(1, "train"), info(2, "train"), info(3, "score")]
    jobs, _ = read([*begun, finished(3, 4.0)])
    assert seconds_left(jobs, [30.0, 20.0], 0.0, 10.0) == pytest.approx(138 / 2.4)


def test_time_left_is_never_less_than_a_running_training_expects():
    jobs, _ = read([plan(train=1), info(1, "train")])
    assert seconds_left(jobs, [50.0], 0.0, 10.0) == pytest.approx(50.0)


def test_report_of_a_command_that_is_no_snakemake_is_what_it_printed():
    report = failure_report(Jobs(), ["Traceback", "KeyError: 'lost'"], Path())
    assert report == "The last lines that were printed:\n    Traceback\n    KeyError: 'lost'"
