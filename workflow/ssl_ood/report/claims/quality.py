"""Claims of chapter 6 on the quality of a representation: what AUROC goes along with over the
strategies, and how many soft-classes they occupy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ssl_ood.common.vocabulary import NO_NEGATIVES, SEEDS
from ssl_ood.measures.metrics import spearman, spearman_limits, t_interval
from ssl_ood.report.claims.case import Case, Check, claim
from ssl_ood.report.claims.verdicts import (
    UNDECIDED,
    Finding,
    NotMeasurable,
    ahead,
    at_most,
    every,
    open_because,
)
from ssl_ood.report.results import Measurement, Summary, summarise
from ssl_ood.report.writers import number

OCCUPIED = "occupied_soft_classes"
ALIKE = 1.25  # "roughly the same number": the largest at most this often the smallest
FEWEST_POINTS = 4  # strategies that a rank correlation is taken over


def correlation(case: Case, metric: str, ood: str) -> tuple[float, int, dict[int, float]]:
    """Rank correlation of a metric with the AUROC of an OOD set over the strategies.

    Returns that of the means over seeds, the number of strategies, and those of each seed.
    """
    strategies = [
        s
        for s in case.results.strategies(case.home)
        if case.results.by_seed(case.home, s, metric=metric)
        and case.results.by_seed(case.home, s, ood=ood)
    ]
    if len(strategies) < FEWEST_POINTS:
        raise NotMeasurable(f"{len(strategies)} strategies are too few for a rank correlation")
    x = [case.mean(s, metric=metric) for s in strategies]
    y = [case.mean(s, ood=ood) for s in strategies]
    by_seed = {}
    for seed in sorted({seed for s in strategies for seed in case.by_seed(s, ood=ood)}):
        pairs = [
            (case.by_seed(s, metric=metric)[seed].value, case.by_seed(s, ood=ood)[seed].value)
            for s in strategies
            if seed in case.by_seed(s, metric=metric) and seed in case.by_seed(s, ood=ood)
        ]
        rho = spearman(*zip(*pairs, strict=True)) if len(pairs) >= FEWEST_POINTS else math.nan
        if not math.isnan(rho):  # as it is where all strategies have the same value
            by_seed[seed] = rho
    rho = spearman(x, y)
    if math.isnan(rho):
        raise NotMeasurable("all strategies have the same value: there is no rank correlation")
    return rho, len(strategies), by_seed


def _each_seed(by_seed: dict[int, float]) -> str:
    listed = ", ".join(number(rho) for rho in by_seed.values())
    return f" (each seed: {listed})" if len(by_seed) > 1 else ""


def _correlates(metric: str) -> Check:
    def check(case: Case) -> Finding:
        parts, rhos = [], []
        for ood in (case.near, case.far):
            rho, n, by_seed = correlation(case, metric, ood)
            parts.append(
                f"ρ = {number(rho)} for {case.results.title('datasets', ood)}" + _each_seed(by_seed)
            )
            rhos.append(_interval(case, rho, n, [*by_seed.values()]))
        reason = f"Spearman over {n} strategies, of means over seeds"
        verdict = every(ahead(rho) for rho in rhos)
        if verdict == UNDECIDED:
            reason += f"; the interval over {rhos[0].over} includes 0"
        return Finding(verdict, "; ".join(parts), reason)

    return check


claim(
    "auroc_follows_knn",
    "AUROC is positively correlated with the 10-NN accuracy over the "
    "strategies, near ({near}) and far ({far})",
)(_correlates("knn_accuracy"))
claim(
    "auroc_follows_sensitivity",
    "AUROC rises with the sensitivity over the strategies, near ({near}) and far ({far})",
)(_correlates("sensitivity"))


@claim(
    "sensitivity_beats_knn",
    "The sensitivity ranks the strategies by AUROC on {near} better than the 10-NN accuracy does",
)
def sensitivity_beats_knn(case: Case) -> Finding:
    sensitivity, n, by_seed = correlation(case, "sensitivity", case.near)
    knn, _, knn_by_seed = correlation(case, "knn_accuracy", case.near)
    text = (
        f"ρ = {number(sensitivity)}{_each_seed(by_seed)} against "
        f"{number(knn)}{_each_seed(knn_by_seed)}"
    )
    reason = f"Spearman over {n} strategies, of means over seeds"
    paired = [by_seed[seed] - knn_by_seed[seed] for seed in by_seed if seed in knn_by_seed]
    if len(paired) < 2:
        return Finding(UNDECIDED, text, f"{reason}; one seed")
    lead = _interval(case, sensitivity - knn, n, paired)
    return Finding(ahead(lead), text, "; ".join(filter(None, [reason, open_because(lead)])))


def _interval(case: Case, rho: float, n: int, by_seed: list[float]) -> Summary:
    """The interval of a rank correlation over n strategies: over seeds, where there are several,
    else over the strategies."""
    if len(by_seed) > 1:
        mean, low, high = t_interval(by_seed, case.results.confidence)
        return Summary(mean, math.nan, low, high, SEEDS, len(by_seed), ())
    low, high = spearman_limits(rho, n, case.results.confidence)
    return Summary(rho, math.nan, low, high, "strategies", 1, ())


def _occupied(case: Case, strategies: Sequence[str]) -> dict[str, float]:
    return {s: case.mean(s, metric=OCCUPIED) for s in strategies}


@claim(
    "fewer_soft_classes",
    "Every kind of negatives makes the test images occupy fewer soft-classes than {none}",
)
def fewer_soft_classes(case: Case) -> Finding:
    none = _occupied(case, [NO_NEGATIVES])[NO_NEGATIVES]
    counts = _occupied(case, case.with_negatives())
    if not counts:
        raise NotMeasurable("no strategy with negatives has been measured")
    leads = {s: case.difference(NO_NEGATIVES, s, metric=OCCUPIED) for s in counts}
    against = {s: n for s, n in counts.items() if n >= none}
    text = f"{len(counts) - len(against)} of {len(counts)} kinds occupy fewer than {none:.0f}"
    names = ", ".join(f"{case.title(s)} {n:.0f}" for s, n in against.items())
    reasons = [f"not fewer: {names}"] if against else ["means over seeds"]
    unsure = [case.title(s) for s, lead in leads.items() if ahead(lead) == UNDECIDED]
    if next(iter(leads.values())).n == 1:
        reasons.append("one seed, and no interval over images for this measure")
    elif unsure:
        reasons.append(f"the interval over seeds includes 0 for {', '.join(unsure)}")
    return Finding(every(map(ahead, leads.values())), text, "; ".join(reasons))


@claim(
    "rotations_occupy_alike",
    "{rot_imgn}, {rot_dti} and {rot_indist} occupy roughly the same number of soft-classes",
)
def rotations_occupy_alike(case: Case) -> Finding:
    counts = _occupied(case, ["rot_imgn", "rot_dti", "rot_indist"])
    text = ", ".join(f"{case.title(s)} {n:.0f}" for s, n in counts.items())
    ratios = _ratios(case, tuple(counts))
    reason = f"to hold, the largest is at most {ALIKE:g} times the smallest"
    unsure = at_most(ratios, ALIKE) == UNDECIDED
    reasons = [reason, open_because(ratios, ALIKE)] if unsure else [reason]
    return Finding(at_most(ratios, ALIKE), text, "; ".join(filter(None, reasons)))


def _ratios(case: Case, strategies: Sequence[str]) -> Summary:
    """The largest number of soft-classes as a multiple of the smallest, within each seed."""
    counts = [case.by_seed(s, metric=OCCUPIED) for s in strategies]
    seeds = sorted(set.intersection(*(set(one) for one in counts)))
    if not seeds:
        raise NotMeasurable("these strategies have no seed in common")
    values = [[one[seed].value for one in counts] for seed in seeds]
    ratios = [max(v) / max(min(v), 1) for v in values]
    nothing = (math.nan, math.nan)
    rows = [Measurement("", s, r, *nothing) for s, r in zip(seeds, ratios, strict=True)]
    return summarise(rows, case.results.confidence)


@claim(
    "in_distribution_fewest_soft_classes",
    "{rot_indist} occupies fewer soft-classes than any auxiliary negatives",
)
def in_distribution_fewest_soft_classes(case: Case) -> Finding:
    own = _occupied(case, ["rot_indist"])["rot_indist"]
    auxiliary = [s for s in case.with_negatives() if s not in ("rot_indist", "combined")]
    counts = _occupied(case, auxiliary)
    if not counts:
        raise NotMeasurable("no auxiliary negatives have been measured")
    least = min(counts, key=counts.__getitem__)
    text = f"{own:.0f} against {counts[least]:.0f} ({case.title(least)}) and more"
    lead = case.difference(least, "rot_indist", metric=OCCUPIED)
    reasons = ["means over seeds", open_because(lead)]
    return Finding(ahead(lead), text, "; ".join(filter(None, reasons)))
