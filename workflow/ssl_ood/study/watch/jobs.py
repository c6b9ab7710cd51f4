"""What a Snakemake has done so far: jobs planned, running, done and failed, from its events.

The events are those of the logger plugin `ssl-ood`, with its names of fields.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

# How Snakemake ends once a job has failed: no news by then.
SUMMARY = "At least one job did not complete successfully."


@dataclass
class Job:
    """A job: its rule, its wildcards, and when it last began (unix seconds)."""

    rule: str
    wildcards: dict[str, str]
    began: float

    def __str__(self) -> str:
        values = ", ".join(map(str, self.wildcards.values()))
        return f"rule {self.rule} ({values})" if values else f"rule {self.rule}"


@dataclass
class Failure:
    """A job, or a group of jobs in one submission, that failed, with what is known of it.

    detail: Snakemake's words or the shell command. logs: files that should say why.
    """

    title: str
    jobs: set[int]
    wildcards: list[str]
    logs: list[str]
    detail: str


@dataclass
class Jobs:
    """What has happened so far; `read` takes the events one by one."""

    started: bool = False  # Snakemake has read the workflow and knows what it has to do
    done: int = 0
    total: int = 0
    planned: Counter[str] = field(default_factory=Counter)
    known: dict[int, Job] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # of the workflow, or of no certain job
    _reasons: list[str] = field(default_factory=list)  # why the jobs failed that come next

    def read(self, event: dict[str, Any]) -> str | None:
        """Takes an event; returns the lines to show immediately."""
        handler = getattr(self, f"_{event.get('event')}", None)
        return handler(event) if handler else None

    def running_rules(self) -> Counter[str]:
        """How many jobs of each rule run."""
        return Counter(self.known[job].rule for job in sorted(self.running))

    def _workflow_started(self, _: dict[str, Any]) -> None:
        self.started = True

    def _run_info(self, event: dict[str, Any]) -> None:
        stats = dict(event["stats"])
        self.total = stats.pop("total", 0)
        self.planned = Counter(stats)

    def _progress(self, event: dict[str, Any]) -> None:
        self.done, self.total = event["done"], event["total"]

    def _job_info(self, event: dict[str, Any]) -> str | None:
        job = Job(event["rule_name"], event["wildcards"] or {}, event["time"])
        again = event["jobid"] not in self.running and any(
            event["jobid"] in failure.jobs for failure in self.failures
        )
        self.known[event["jobid"]] = job
        self.running.add(event["jobid"])
        return f"  Snakemake tries it again: {job}" if again else None

    def _job_finished(self, event: dict[str, Any]) -> None:
        number = event["job_id"]
        if number in self.running:
            job = self.known[number]
            self.seconds[job.rule].append(max(event["time"] - job.began, 0.0))
        self.running.discard(number)
        self._forget({number})

    def _job_error(self, event: dict[str, Any]) -> str | None:
        if event["indent"]:
            return None  # of a group, which has said it
        reason = self._reasons.pop(0) if self._reasons else ""
        return self._fail([event], event["log"], reason)

    def _group_error(self, event: dict[str, Any]) -> str:
        jobs = sorted(event["job_error_info"], key=lambda job: job["jobid"])
        logs = [path for job in jobs for path in job["log"]]
        return self._fail(jobs, logs + event["aux_logs"], "", f"group of {len(jobs)} jobs")

    def _fail(self, jobs: list[dict[str, Any]], logs: list[str], reason: str, title: str = ""):
        numbers = {job["jobid"] for job in jobs}
        for job in jobs:
            self.known.setdefault(job["jobid"], Job(job["rule_name"], {}, 0.0))
        titles = [str(self.known[job["jobid"]]) for job in jobs]
        words = [reason] if reason else [job["shellcmd"] for job in jobs if job["shellcmd"]]
        words += [job["rule_msg"] for job in jobs if job["rule_msg"]]
        words += [f"{name}: {value}" for job in jobs for name, value in (job["aux"] or {}).items()]
        title = f"{title}: {', '.join(titles)}" if title else titles[0]
        wildcards = [
            ", ".join(f"{name}={value}" for name, value in self.known[n].wildcards.items())
            for n in sorted(numbers)
        ]
        self._forget(numbers)  # a job can fail several times: the last one counts
        self.failures.append(
            Failure(
                title,
                numbers,
                list(filter(None, wildcards)),
                list(dict.fromkeys(logs)),
                "\n".join(dict.fromkeys(words)).strip(),
            )
        )
        self.running -= numbers
        return f"failed: {title}"

    def _error(self, event: dict[str, Any]) -> str | None:
        text = str(event["msg"]).strip()
        if event["exception"] == "RuleException":  # the error of the job follows
            self._reasons.append(text.removeprefix("RuleException:").strip())
            return None
        if self.failures and text.endswith(SUMMARY):
            return None
        self.errors.append(text)
        # Before the first job it is also the last thing that happens.
        return f"failed: {text.splitlines()[0].rstrip(':')}" if self.planned and text else None

    def _forget(self, numbers: set[int]) -> None:
        self.failures = [failure for failure in self.failures if not failure.jobs & numbers]
