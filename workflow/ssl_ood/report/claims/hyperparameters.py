"""Claims of chapter 6 on λ and τ, which the sensitivity score chooses without OOD data.

Each is judged for every in-distribution dataset. A temperature is a candidate for the best one
unless its sensitivity is surely below the largest, so that a flat curve leaves a claim undecided.
"""

from __future__ import annotations

import math

from ssl_ood.common.vocabulary import BASE
from ssl_ood.report.claims.case import Case, claim
from ssl_ood.report.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Finding,
    NotMeasurable,
    ahead,
    because,
    every,
    open_because,
)
from ssl_ood.report.paired import difference_of_temperatures
from ssl_ood.report.results import Measurement, Summary, summarise
from ssl_ood.report.tables.hyperparameters import (
    TAU_SCORE,
    Choice,
    chosen,
    lambda_choices,
    tau_choices,
)
from ssl_ood.report.writers import number

TAU_RANGE = (0.02, 0.08)  # where the thesis finds the best temperatures


@claim("optimal_tau", "The temperature τ of the tables is the one that the sensitivity chooses")
def optimal_tau(case: Case) -> Finding:
    best = _best_taus(case)
    expected = case.reported or case.results.spec["evaluation"]["tau"]
    step = max(abs(tau - expected) for tau in _neighbours(_taus(case), expected))
    candidates = [_candidates(case, home, tau) for home, tau in best.items()]
    low, high = (sum(end) / len(best) for end in zip(*map(_span(case), candidates), strict=True))
    average = sum(best.values()) / len(best)
    text = _told(case, best) + (f"; mean {average:.4g}" if len(best) > 1 else "")
    reason = f"to hold, the mean lies within a step of the grid ({step:g}) of {expected:g}"
    verdict = _inside(low, high, expected - step, expected + step)
    return Finding(verdict, text, because(reason, _why_open(case, verdict, candidates)))


@claim(
    "tau_range",
    "Over the datasets the temperature τ that the sensitivity chooses lies between 0.02 and 0.08",
)
def tau_range(case: Case) -> Finding:
    least, most = TAU_RANGE
    if min(_taus(case)) >= least and max(_taus(case)) <= most:
        raise NotMeasurable("the config measures no temperature outside of that range")
    best = _best_taus(case)
    candidates = [_candidates(case, home, tau) for home, tau in best.items()]
    verdict = every(_inside(min(taus), max(taus), least, most) for taus in candidates)
    return Finding(verdict, _told(case, best), _why_open(case, verdict, candidates))


def _taus(case: Case) -> list[float]:
    taus = sorted(case.results.spec["evaluation"]["taus"])
    if len(taus) < 2:
        raise NotMeasurable("the config has a single temperature")
    return taus


def _neighbours(taus: list[float], tau: float) -> list[float]:
    """The temperatures of the grid next to one, below and above."""
    below, above = [t for t in taus if t < tau], [t for t in taus if t > tau]
    return [*below[-1:], *above[:1]]


def _best_taus(case: Case) -> dict[str, float]:
    """The temperature of the largest sensitivity by in-distribution dataset."""
    _taus(case)
    choices = {home: chosen(tau_choices(case.results, home)) for home in case.homes}
    best = {home: choice.value for home, choice in choices.items() if choice is not None}
    if not best:
        raise NotMeasurable("no sensitivity has been measured")
    return best


def _candidates(case: Case, home: str, best: float) -> list[float]:
    """The temperatures whose sensitivity is not surely below that of the best."""
    others = [tau for tau in _taus(case) if tau != best]
    return [best, *(tau for tau in others if ahead(_lead(case, home, best, tau)) != HOLDS)]


def _lead(case: Case, home: str, one: float, other: float) -> Summary:
    """Points of sensitivity that a temperature is ahead of another, mean over the strategies."""
    values: dict[int, dict[str, float]] = {}  # by seed and run
    for strategy in case.results.strategies(home):
        selection = {"metric": "sensitivity", "score": TAU_SCORE}
        a, b = (case.results.by_seed(home, strategy, tau=tau, **selection) for tau in (one, other))
        for seed in a.keys() & b.keys():
            values.setdefault(seed, {})[a[seed].run] = a[seed].value - b[seed].value
    if not values:
        raise NotMeasurable("two temperatures have no run in common")
    interval = None
    if len(values) == 1:
        (runs,) = values.values()
        interval = difference_of_temperatures(case.results, list(runs), one, other)
    limits = (interval.low, interval.high) if interval else (math.nan, math.nan)
    leads = [
        Measurement(";".join(runs), seed, *(100 * v for v in (_mean(runs), *limits)))
        for seed, runs in sorted(values.items())
    ]
    return summarise(leads, case.results.confidence)


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


def _span(case: Case):
    """The limits of candidates: beyond an end of the grid the best may lie anywhere."""
    least, *_, most = _taus(case)

    def span(taus: list[float]) -> tuple[float, float]:
        low, high = min(taus), max(taus)
        return (-math.inf if low == least else low, math.inf if high == most else high)

    return span


def _inside(low: float, high: float, least: float, most: float) -> str:
    """The verdict on an interval within limits."""
    slack = 1e-9  # steps of a grid are not exact in binary
    if low >= least - slack and high <= most + slack:
        return HOLDS
    return FAILS if low > most + slack or high < least - slack else UNDECIDED


def _told(case: Case, best: dict[str, float]) -> str:
    titles = [f"{tau:g} for {case.dataset(home)}" for home, tau in best.items()]
    return f"τ = {', '.join(titles)}"


def _why_open(case: Case, verdict: str, candidates: list[list[float]]) -> str:
    """Why a claim on temperatures is undecided."""
    if verdict != UNDECIDED:
        return ""
    spans = ", ".join(f"{min(taus):g} to {max(taus):g}" for taus in candidates)
    words = f"not surely less sensitive: τ of {spans}"
    least, *_, most = _taus(case)
    at_end = any({least, most} & set(taus) for taus in candidates)
    return words + (", up to an end of the grid, and the best may lie beyond" if at_end else "")


@claim(
    "optimal_lambda",
    "The weight λ of the negative loss is the one that the sensitivity chooses",
)
def optimal_lambda(case: Case) -> Finding:
    optima = {}
    for home in case.homes:
        for strategy in case.results.strategies(home):
            choices = lambda_choices(case.results, home, strategy)
            choices = [c for c in choices if c.sensitivity]
            if sum(c.value > 0 for c in choices) > 1 and home not in optima:
                optima[home] = _judge_lambda(case, home, strategy, choices)
    if not optima:
        raise NotMeasurable("no strategy was trained with several λ")
    text = ", ".join(f"{finding.text} for {case.dataset(home)}" for home, finding in optima.items())
    several = len(optima) > 1
    reasons = [
        (f"{case.dataset(home)}: " if several else "") + finding.reason
        for home, finding in optima.items()
    ]
    verdict = every(finding.verdict for finding in optima.values())
    return Finding(verdict, f"λ = {text}", because(*reasons))


def _judge_lambda(case: Case, home: str, strategy: str, choices: list[Choice]) -> Finding:
    """Whether the thesis's λ, or that of the base settings, is the best of a dataset's."""
    base = next((c.value for c in choices if c.variant == BASE and c.value > 0), None)
    expected = base if case.reported is None else case.reported
    best = chosen(choices)
    values = ", ".join(f"{number(100 * c.sensitivity.mean)} at {c.value:g}" for c in choices)
    text, reason = f"{best.value:g}", f"sensitivity {values} ({case.title(strategy)})"
    ours = next((c for c in choices if c.value == expected), None)
    if ours is None:
        return Finding(FAILS, text, f"λ = {expected:g} was not trained; {reason}")
    leads = [_more_sensitive(case, home, ours, other) for other in choices if other is not ours]
    nearest = min(leads, key=lambda lead: lead.mean)
    return Finding(every(map(ahead, leads)), text, because(reason, open_because(nearest)))


def _more_sensitive(case: Case, home: str, one: Choice, other: Choice) -> Summary:
    """How many points of sensitivity a choice of λ is ahead of another."""
    verdicts = [
        case.by_seed(choice.strategy, home=home, variant=choice.variant, metric="sensitivity")
        for choice in (one, other)
    ]
    if not verdicts[0].keys() & verdicts[1].keys():
        raise NotMeasurable("the values of λ have no seed in common")
    return case.between(*verdicts, metric="sensitivity")
