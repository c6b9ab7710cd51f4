"""`watch` and the logger plugin with Snakemake itself: local jobs, submitted ones, groups."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake_logger_plugin_ssl_ood as plugin
from support.watch import run_watch

from ssl_ood.study.watch.pipe import VARIABLE, WORKFLOW

RULES = """
rule all:
    input: 'a1', 'a2'
rule a:
    output: 'a{i}'
    log: 'a{i}.log'
    shell: 'echo reason {wildcards.i} > {log}; [ {wildcards.i} = 1 ] && touch {output}'
"""
GROUP = """
rule b:
    input: 'a{i}'
    output: 'b{i}'
    log: 'b{i}.log'
    shell: 'touch {output}'
"""
# A cluster of this machine: what `--executor slurm` shares with it is Snakemake's RemoteExecutor.
CLUSTER = """
import subprocess
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False, pass_group_args=True
)

class Executor(RemoteExecutor):
    def run_job(self, job):
        process = subprocess.Popen(self.format_job_exec(job), shell=True)
        info = SubmittedJobInfo(job, external_jobid=str(process.pid), aux={"process": process})
        self.report_job_submission(info)

    async def check_active_jobs(self, active_jobs):
        self.next_seconds_between_status_checks = 0.2
        for info in active_jobs:
            code = info.aux["process"].poll()
            if code is None:
                yield info
            elif code:
                self.report_job_error(info, aux_logs=["cluster.log"])
            else:
                self.report_job_success(info)

    def cancel_jobs(self, active_jobs):
        for info in active_jobs:
            info.aux["process"].kill()
"""


def snakemake(*arguments: str, cores: bool = True) -> tuple[str, ...]:
    line = (sys.executable, "-m", "snakemake", "--keep-going")
    return (*line, *(("--cores", "1") if cores else ()), *arguments)


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> tuple[str, ...]:
    """Options of a Snakemake that submits its jobs."""
    package = tmp_path / "plugins" / "snakemake_executor_plugin_here"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CLUSTER)
    (tmp_path / "cluster.log").write_text("what the cluster says\n")
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    return ("--executor", "here", "--jobs", "2")


@pytest.mark.parametrize("quiet", [(), ("--quiet", "all")])
def test_jobs_that_fail_are_said_and_reported_once(tmp_path, quiet):
    (tmp_path / "Snakefile").write_text(RULES)
    failing = run_watch(tmp_path / "r", *snakemake(*quiet, "all"), cwd=tmp_path)
    assert failing.returncode == 1
    assert failing.stdout.count("failed: rule a (2)") == 1
    assert failing.stdout.count("    reason 2") == 1
    assert "    wildcards: i=2\n    log: a2.log\n" in failing.stdout
    assert "with 1 of 3 jobs done" in failing.stdout
    assert "Building DAG" not in failing.stdout and "Config MD5" not in failing.stdout
    printed = (tmp_path / "r" / "snakemake.log").read_text()
    assert ("Building DAG" in printed) == (not quiet)
    fine = run_watch(tmp_path / "r", *snakemake("a1"), cwd=tmp_path)
    assert (fine.returncode, fine.stdout) == (0, "nothing to do: everything is up to date\n")


def test_retries_and_missing_outputs_are_said(tmp_path):
    (tmp_path / "Snakefile").write_text(
        RULES + "rule c:\n    output: 'c1'\n    log: 'c.log'\n    shell: 'true'\n"
    )
    options = ("--retries", "1", "--latency-wait", "0", "a2", "c1")
    result = run_watch(tmp_path / "r", *snakemake(*options), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.count("failed: rule a (2)") == 2
    assert result.stdout.count("  Snakemake tries it again: rule a (2)") == 1
    assert result.stdout.count("The end of a2.log") == 1
    assert "failed: MissingOutputException in rule c" in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from snakemake.exceptions import WorkflowError\nraise WorkflowError('no such score')\n",
         "no such score"),
        ("rule a:\n    output: 'a'\n    shel: 'true'\n", "shel"),
    ],
)  # fmt: skip
def test_a_workflow_that_cannot_be_read_says_why(tmp_path, text, expected):
    (tmp_path / "Snakefile").write_text(text)
    result = run_watch(tmp_path / "r", *snakemake("a"), cwd=tmp_path)
    assert result.returncode == 1 and expected in result.stdout
    assert "failed: " not in result.stdout


def test_an_option_that_is_unknown_to_snakemake_is_shown(tmp_path):
    result = run_watch(tmp_path / "r", *snakemake("--corse", "1"), cwd=tmp_path)
    assert result.returncode == 2 and "unrecognized arguments: --corse" in result.stdout


def test_submitted_jobs_are_followed(tmp_path, cluster):
    (tmp_path / "Snakefile").write_text(RULES)
    result = run_watch(tmp_path / "r", *snakemake(*cluster, "all", cores=False), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.count("failed: rule a (2)") == 1
    assert "with 1 of 3 jobs done" in result.stdout
    assert "The end of a2.log:\n    reason 2" in result.stdout
    assert "The end of cluster.log:\n    what the cluster says" in result.stdout


def test_a_group_of_submitted_jobs_is_one_failure(tmp_path, cluster):
    (tmp_path / "Snakefile").write_text(RULES + GROUP)
    groups = ("--groups", "a=g", "b=g")
    command = snakemake(*cluster, "b1", "b2", *groups, cores=False)
    result = run_watch(tmp_path / "r", *command, cwd=tmp_path)
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("failed: ")]
    assert line.startswith("failed: group of 2 jobs: ")
    assert "rule a (2)" in line and "rule b (2)" in line
    assert "with 2 of 4 jobs done" in result.stdout
    assert result.stdout.count("    reason 2") == 1
    assert "The end of b2.log" not in result.stdout  # its turn did not come


# ---- the plugin


def run_snakemake(folder: Path, target: str, **environment: str) -> subprocess.CompletedProcess:
    (folder / "Snakefile").write_text(RULES)
    path = os.pathsep.join([str(WORKFLOW), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        snakemake("--logger=ssl-ood", target),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
    )


def test_events_are_lines_of_a_file(tmp_path):
    path = tmp_path / "events.jsonl"
    assert run_snakemake(tmp_path, "a1", **{VARIABLE: str(path)}).returncode == 0
    events = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = ["workflow_started", "run_info", "job_started", "job_info", "job_finished", "progress"]
    assert [event["event"] for event in events] == kinds
    info = events[3]
    assert (info["rule_name"], info["wildcards"], info["log"]) == ("a", {"i": "1"}, ["a1.log"])
    assert events[1]["stats"] == {"a": 1, "total": 1}
    assert {(e["done"], e["total"]) for e in events if e["event"] == "progress"} == {(1, 1)}
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_without_a_file_nothing_is_written(tmp_path):
    before = {*tmp_path.iterdir()}
    assert run_snakemake(tmp_path, "a1").returncode == 0
    new = {path.name for path in {*tmp_path.iterdir()} - before}
    assert new == {"Snakefile", ".snakemake", "a1", "a1.log"}


@pytest.mark.parametrize("kind", ["full disk", "no folder", "pipe that nobody reads"])
def test_events_that_cannot_be_written_do_not_stop_snakemake(tmp_path, kind):
    path = {"full disk": Path("/dev/full"), "no folder": tmp_path / "no" / "e"}.get(kind)
    if path is None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
    result = run_snakemake(tmp_path, "a1", **{VARIABLE: str(path)})
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert "1 of 1 steps (100%) done" in result.stderr


def test_plugin_needs_only_snakemakes_interface_and_its_variable_is_watchs():
    tree = ast.parse(Path(plugin.__file__).read_text())
    modules = {n.module.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert modules - sys.stdlib_module_names == {"snakemake_interface_logger_plugins"}
    assert plugin.VARIABLE == VARIABLE
