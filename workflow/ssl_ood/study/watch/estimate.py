"""About how long the rest of a study takes."""

from __future__ import annotations

from collections.abc import Iterable

from ssl_ood.study.watch.jobs import Jobs


def seconds_left(
    jobs: Jobs, training_left: Iterable[float], began: float, now: float
) -> float | None:
    """About how many seconds the rest takes; None while nothing is known of the trainings.

    training_left: seconds that each running training expects. began, now: of the whole, in unix
    seconds. A job is expected to take what its rule took on average (a training what the running
    ones expect), and jobs to run as many at a time as they did so far.
    """
    training_left = list(training_left)
    running = [jobs.known[job] for job in jobs.running]
    expected = {rule: sum(took) / len(took) for rule, took in jobs.seconds.items()}
    trainings = [job for job in running if _trains(job.rule)]
    if training_left and trainings:
        so_far = max(now - job.began for job in trainings)
        expected.setdefault(trainings[0].rule, so_far + max(training_left))
    if not jobs.planned or any(_trains(rule) and rule not in expected for rule in jobs.planned):
        return None
    short = [mean for rule, mean in expected.items() if not _trains(rule)]
    usual = sum(short) / len(short) if short else 1.0
    at_work = jobs.running_rules()
    work = sum(training_left)
    for rule, count in jobs.planned.items():
        waiting = count - len(jobs.seconds.get(rule, ())) - at_work[rule]
        work += max(waiting, 0) * expected.get(rule, usual)
    for job in running:
        if not (training_left and _trains(job.rule)):
            work += max(expected.get(job.rule, usual) - (now - job.began), 0.0)
    busy = sum(map(sum, jobs.seconds.values())) + sum(now - job.began for job in running)
    at_a_time = max(busy / max(now - began, 1e-9), 1.0)
    return max(work / at_a_time, *training_left, 0.0)


def _trains(rule: str) -> bool:
    return rule.startswith("train")
