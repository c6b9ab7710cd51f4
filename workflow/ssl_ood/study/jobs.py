"""Follows a Snakemake by what it prints: jobs done, running, failed; how long the rest takes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

HEADER = re.compile(r"(?:local)?(?:rule|checkpoint) (\S+):$")
MESSAGE = re.compile(r"Job (\d+): (.*)")  # stands for the header where a rule has a message
FINISHED = re.compile(r"Finished jobid: (\d+)(?: \(Rule: (.+)\))?")
STEPS = re.compile(r"(\d+) of (\d+) steps \(")
ERROR = re.compile(r"Error in (?:rule|group) (.+):$")
PLANNED = re.compile(r"(\S+)\s+(\d+)$")
# What Snakemake says while all is well, or says again after an error: no help to whoever mends it.
CHATTER = re.compile(
    r"$|\[\w{3} \w{3} .*\]$|Select jobs|Execute \d+|Building DAG|Using shell|Provided |Rules claim"
    r"|Job stats:|Assuming unrestricted|Reason: |Removing |Shutting down|Exiting because"
    r"|Complete log|Elapsed time|RuleException:|CalledProcessError in file|Command '"
    r"|WorkflowError:$|At least one job did not|SNAKEMAKE$|=+$|  [A-Z][A-Za-z0-9 ()]+: "
    r"|Nothing to be done|Logfile .* (empty file|not found\.)$"
)


@dataclass
class Job:
    """A job that runs: its rule, what it is about, and when it began (seconds)."""

    rule: str
    about: str
    begun: float


@dataclass
class Jobs:
    """What a Snakemake has said so far; `read` takes its lines one by one."""

    done: int = 0
    total: int = 0
    up_to_date: bool = False
    planned: Counter[str] = field(default_factory=Counter)
    running: dict[str, Job] = field(default_factory=dict)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, list[str]] = field(default_factory=dict)  # the last error of each job
    other: deque[str] = field(default_factory=lambda: deque(maxlen=60))  # no chatter of Snakemake
    _block: str = ""  # "job", "error", "stats" or "log": what the lines that follow belong to
    _rule: str = ""  # the line of = signs that a shown log stands between
    _job: Job | None = None
    _error: list[str] = field(default_factory=list)

    def read(self, line: str, now: float) -> str | None:
        """Takes a line printed at `now` (seconds); returns what a person should see at once."""
        if self._block == "log":  # --show-failed-logs; the report reads the log itself
            self._rule, ended = self._rule or line, line == self._rule
            self._block = "" if ended else "log"
            return None
        if self._block == "stats" and line:
            return self._read_plan(line)
        if self._block in ("job", "error") and line.startswith("    "):
            return self._read_indented(line, now)
        self._block = ""
        if match := HEADER.match(line):
            self._block, self._job = "job", Job(match[1], "", now)
        elif match := MESSAGE.match(line):
            self.running[match[1]] = Job("", match[2], now)
        elif match := FINISHED.match(line):
            self._finish(match[1], match[2], now)
        elif match := STEPS.match(line):
            self.done, self.total = int(match[1]), int(match[2])
        elif match := ERROR.match(line):
            self._block, self._error = "error", [line]
            self.failed[match[1]] = self._error
        elif line.startswith("Job stats:"):
            self._block = "stats"
        elif line.startswith("Logfile ") and line.endswith(":"):
            self._block, self._rule = "log", ""
        elif line.startswith("Trying to restart job"):
            return "  Snakemake tries it again"
        elif not CHATTER.match(line):
            self.other.append(line)
        self.up_to_date |= line.startswith("Nothing to be done")
        return None

    def _read_plan(self, line: str) -> None:
        match = PLANNED.match(line)
        if match and match[1] == "total":
            self.total = self.total or int(match[2])
        elif match and match[2] != "count":
            self.planned[match[1]] = int(match[2])

    def _read_indented(self, line: str, now: float) -> str | None:
        key, _, value = line.strip().partition(": ")
        if self._block == "job" and self._job:
            if key == "jobid":
                self.running[value] = self._job
            elif key == "wildcards":
                self._job.about = ", ".join(part.split("=")[-1] for part in value.split(", "))
            return None
        self._error.append(line)
        if key != "jobid":
            return None
        # By job from here on: a rule can fail in several jobs, and a job several times.
        self.failed = {name: lines for name, lines in self.failed.items() if lines != self._error}
        self.failed[value] = self._error
        job = self.running.pop(value, None)
        about = f" ({job.about})" if job and job.about else ""
        return f"failed: {self._error[0].removeprefix('Error in ').rstrip(':')}{about}"

    def _finish(self, jobid: str, rule: str | None, now: float) -> None:
        job = self.running.pop(jobid, None)
        self.failed.pop(jobid, None)
        if job:
            self.seconds[rule or job.rule].append(now - job.begun)


def seconds_left(jobs: Jobs, training_left: Iterable[float], began: float, now: float):
    """About how many seconds the rest takes; None while nothing is known of the trainings.

    A job is expected to take what its rule took on average (a training what the running ones
    expect), and jobs to run as many at a time as they did so far.
    """
    training_left = list(training_left)
    expected = {rule: sum(took) / len(took) for rule, took in jobs.seconds.items()}
    trainings = [job for job in jobs.running.values() if job.rule.startswith("train")]
    if training_left and trainings:
        so_far = max(now - job.begun for job in trainings)
        expected.setdefault(trainings[0].rule, so_far + max(training_left))
    if not jobs.planned or any(r.startswith("train") and r not in expected for r in jobs.planned):
        return None
    short = [mean for rule, mean in expected.items() if not rule.startswith("train")]
    usual = sum(short) / len(short) if short else 1.0
    running = Counter(job.rule for job in jobs.running.values())
    work = sum(training_left)
    for rule, count in jobs.planned.items():
        waiting = count - len(jobs.seconds.get(rule, ())) - running[rule]
        work += max(waiting, 0) * expected.get(rule, usual)
    for job in jobs.running.values():
        if not (training_left and job.rule.startswith("train")):
            work += max(expected.get(job.rule, usual) - (now - job.begun), 0.0)
    busy = sum(map(sum, jobs.seconds.values())) + sum(now - j.begun for j in jobs.running.values())
    at_a_time = max(busy / max(now - began, 1e-9), 1.0)
    return max(work / at_a_time, *training_left, 0.0)


def failure_report(jobs: Jobs, base: Path, lines: int = 30) -> str:
    """What went wrong, in full: each failed job's error with the end of its log, then the rest.

    base: the folder that the paths of the logs are relative to.
    """
    parts = []
    for error in jobs.failed.values():
        parts.append("\n".join(error))
        for path in _logs(error):
            parts.append(f"The end of {path}:\n{_tail(base / path, lines)}")
    if jobs.other:
        parts.append("\n".join(jobs.other))
    return "\n\n".join(parts)


def _logs(error: list[str]) -> list[str]:
    for line in error:
        key, _, value = line.strip().partition(": ")
        if key == "log":
            return value.removesuffix(" (check log file(s) for error details)").split(", ")
    return []


def _tail(path: Path, lines: int) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError as error:
        return f"    (cannot be read: {error.strerror})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
