"""One small function a claim of chapter 6: what is compared, and when the claim holds.

A function of `Case` returns a `Finding`; where the runs or data for it are not there it raises
`NotMeasurable`. The words beside the id say the claim by roles, without a number of the thesis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES
from ssl_ood.measures.metrics import spearman
from ssl_ood.report.claims.case import (
    ON_PAR,
    Case,
    Check,
    Finding,
    NotMeasurable,
    agrees,
    claim,
    judged,
    seeds_ahead,
)
from ssl_ood.report.results import summarise
from ssl_ood.report.tables.hyperparameters import chosen, lambda_choices, tau_choices
from ssl_ood.report.writers import number, signed

ALIKE = 1.25  # "roughly the same number": the largest at most this often the smallest
FEWEST_POINTS = 4  # strategies that a rank correlation is taken over
PERMUTED = ("perm16_imgn", "perm4_imgn", "pixperm_imgn")
TABLE = "table_6_1"  # where the thesis reports other methods
OTHER_DATA = "the thesis's number is for its own data"


@claim("knn_accuracy_none", "The 10-NN accuracy of {none} is the thesis's on CIFAR10")
def knn_accuracy_none(case: Case) -> Finding:
    found = list(case.by_seed(NO_NEGATIVES, metric="knn_accuracy").values())
    summary = summarise(found, case.results.confidence).scaled(100)
    if case.reported is None:
        raise NotMeasurable(OTHER_DATA, summary)
    agreed, reason = agrees(summary, case.reported)
    return Finding(agreed, "", reason, summary)


@claim(
    "knn_accuracy_csi",
    "The 10-NN accuracy of another method, CSI, is lower than that of {none}",
)
def knn_accuracy_csi(case: Case) -> Finding:
    raise NotMeasurable("CSI is not trained here")


def _gain(one: str, other: str) -> Check:
    def check(case: Case) -> Finding:
        what = {"ood": case.average}
        summary = case.difference(one, other, **what)
        return judged(summary, case.reported, seeds_ahead(case, one, other, **what))

    return check


for _name, _one, _other in (
    ("gain_rot_imgn_over_none", "rot_imgn", NO_NEGATIVES),
    ("gain_rot_imgn_over_imgn", "rot_imgn", "imgn"),
    ("gain_rot_dti_over_dti", "rot_dti", "dti"),
):
    claim(_name, f"{{{_one}}} is ahead of {{{_other}}} in AUROC on average over {{average}}")(
        _gain(_one, _other)
    )


def _best_of_sets(second: bool) -> Check:
    def check(case: Case) -> Finding:
        home = case.second if second else case.home
        sets = case.results.ood_sets(home)
        ahead = 0
        for ood in sets:
            best = max(case.other_methods(TABLE, home, ood))
            ours = max(case.mean(s, home=home, ood=ood) for s in ("rot_imgn", "combined"))
            ahead += 100 * ours > best
        if case.reported is None:
            raise NotMeasurable(OTHER_DATA)
        holds = ahead >= case.reported
        own = [_own_best(case, home, ood) for ood in sets]
        reason = f"the thesis's own table gives {own.count('ahead')}"
        reason += f" and {own.count('tie')} tied" if "tie" in own else ""
        return Finding(holds, f"{ahead} of {len(sets)} sets", reason)

    return check


def _own_best(case: Case, home: str, ood: str) -> str:
    ours = [
        entry.value
        for key, entry in case.results.reported.items()
        if (key.artefact, key.in_distribution, key.dataset) == (TABLE, home, ood) and key.ours
    ]
    best_of_ours = max(ours, default=0.0)
    best = max(case.other_methods(TABLE, home, ood))
    return "ahead" if best_of_ours > best else "tie" if best_of_ours == best else "behind"


claim("best_of_8_first", "Ours is the best method on most OOD sets")(_best_of_sets(False))
claim(
    "best_of_8_second", "Ours is the best method on most OOD sets of the second in-distribution set"
)(_best_of_sets(True))


def _margin(strategy: str, *, second: bool, ood: str | None, with_labels: bool) -> Check:
    """Ours minus the best reported value of other methods, in points."""

    def check(case: Case) -> Finding:
        home, name = case.second if second else case.home, ood or case.near
        best = max(case.other_methods(TABLE, home, name, with_labels=with_labels))
        return judged(case.margin(strategy, best, home=home, ood=name), case.reported)

    return check


claim(
    "combined_margin_self_supervised",
    "{combined} is ahead of the best other self-supervised method on {near}",
)(_margin("combined", second=False, ood=None, with_labels=False))
claim("combined_margin_supervised", "{combined} is ahead of the best method with labels on {near}")(
    _margin("combined", second=False, ood=None, with_labels=True)
)
claim(
    "lsun_margin",
    "{rot_imgn} is ahead of the best other self-supervised method on a far OOD "
    "set of the second in-distribution set",
)(_margin("rot_imgn", second=True, ood="lsun", with_labels=False))


@claim(
    "rotation_ahead",
    "{rot_imgn} is ahead of patch permutation and pixel shuffling on average over {average}",
)
def rotation_ahead(case: Case) -> Finding:
    rival = case.best(PERMUTED, ood=case.average)
    summary = case.difference("rot_imgn", rival, ood=case.average)
    return judged(summary, None, f"over {case.title(rival)}, the nearest of them")


@claim(
    "permutation_not_ahead_of_none",
    "Patch permutation and pixel shuffling of auxiliary images are inferior to or on par with "
    "{none} on average over {average}",
)
def permutation_not_ahead_of_none(case: Case) -> Finding:
    gains = {s: case.difference(s, NO_NEGATIVES, ood=case.average) for s in PERMUTED}
    text = ", ".join(f"{case.title(s)} {signed(gain.mean)}" for s, gain in gains.items())
    holds = max(gain.mean for gain in gains.values()) <= ON_PAR
    return Finding(holds, f"{text} points", f"on par: at most {ON_PAR:g} point ahead")


def _higher(one: str, other: str, metric: str) -> Check:
    def check(case: Case) -> Finding:
        summary = case.difference(one, other, metric=metric)
        return judged(summary, None, seeds_ahead(case, one, other, metric=metric))

    return check


claim(
    "rotated_has_higher_sensitivity", "The sensitivity of {rot_imgn} is higher than that of {imgn}"
)(_higher("rot_imgn", "imgn", "sensitivity"))
claim("negatives_improve_knn", "{rot_imgn} has a higher 10-NN accuracy than {none}")(
    _higher("rot_imgn", NO_NEGATIVES, "knn_accuracy")
)


@claim("optimal_tau", "The temperature τ of the tables is the one that the sensitivity chooses")
def optimal_tau(case: Case) -> Finding:
    taus = sorted(case.results.spec["evaluation"]["taus"])
    if len(taus) < 2:
        raise NotMeasurable("the config has a single temperature")
    best = {home: chosen(tau_choices(case.results, home)) for home in case.homes}
    best = {home: choice.value for home, choice in best.items() if choice is not None}
    if not best:
        raise NotMeasurable("no sensitivity has been measured")
    expected = case.reported or case.results.spec["evaluation"]["tau"]
    average = sum(best.values()) / len(best)
    step = max(b - a for a, b in pairwise(taus))
    titles = [f"{v:g} for {case.results.title('datasets', home)}" for home, v in best.items()]
    text = f"τ = {', '.join(titles)}" + (f"; mean {average:.4g}" if len(best) > 1 else "")
    reason = f"to hold, the mean lies within a step of the grid ({step:g}) of {expected:g}"
    if {taus[0], taus[-1]} & set(best.values()):
        reason += "; the sensitivity is largest at an end of the grid"
    return Finding(abs(average - expected) <= step + 1e-9, text, reason)


@claim(
    "optimal_lambda",
    "The weight λ of the negative loss is the one that the sensitivity chooses",
)
def optimal_lambda(case: Case) -> Finding:
    for strategy in case.with_negatives():
        choices = [c for c in lambda_choices(case.results, case.home, strategy) if c.sensitivity]
        if sum(c.value > 0 for c in choices) > 1:
            break
    else:
        raise NotMeasurable("no strategy was trained with several λ")
    base = next((c.value for c in choices if c.variant == BASE and c.strategy == strategy), None)
    expected = base if case.reported is None else case.reported
    values = ", ".join(f"{number(100 * c.sensitivity.mean)} at {c.value:g}" for c in choices)
    best = chosen(choices).value
    return Finding(
        best == expected, f"λ = {best:g} ({case.title(strategy)})", f"sensitivity {values}"
    )


def correlation(case: Case, metric: str, ood: str) -> tuple[float, int, list[float]]:
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
    by_seed = []
    seeds = {seed for s in strategies for seed in case.by_seed(s, ood=ood)}
    for seed in sorted(seeds):
        pairs = [
            (case.by_seed(s, metric=metric)[seed].value, case.by_seed(s, ood=ood)[seed].value)
            for s in strategies
            if seed in case.by_seed(s, metric=metric) and seed in case.by_seed(s, ood=ood)
        ]
        if len(pairs) >= FEWEST_POINTS:
            by_seed.append(spearman(*zip(*pairs, strict=True)))
    rho = spearman(x, y)
    if math.isnan(rho):
        raise NotMeasurable("all strategies have the same value: there is no rank correlation")
    return rho, len(strategies), by_seed


def _each_seed(values: Sequence[float]) -> str:
    return f" (each seed: {', '.join(number(v) for v in values)})" if len(values) > 1 else ""


def _correlates(metric: str) -> Check:
    def check(case: Case) -> Finding:
        parts, rhos = [], []
        for ood in (case.near, case.far):
            rho, n, by_seed = correlation(case, metric, ood)
            parts.append(
                f"ρ = {number(rho)} for {case.results.title('datasets', ood)}" + _each_seed(by_seed)
            )
            rhos.append(rho)
        reason = f"Spearman over {n} strategies, of means over seeds"
        return Finding(all(rho > 0 for rho in rhos), "; ".join(parts), reason)

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
    return Finding(sensitivity > knn, text, f"Spearman over {n} strategies, of means over seeds")


def _occupied(case: Case, strategies: Sequence[str]) -> dict[str, float]:
    return {s: case.mean(s, metric="occupied_soft_classes") for s in strategies}


@claim(
    "fewer_soft_classes",
    "Every kind of negatives makes the test images occupy fewer soft-classes than {none}",
)
def fewer_soft_classes(case: Case) -> Finding:
    none = _occupied(case, [NO_NEGATIVES])[NO_NEGATIVES]
    counts = _occupied(case, case.with_negatives())
    if not counts:
        raise NotMeasurable("no strategy with negatives has been measured")
    against = {s: n for s, n in counts.items() if n >= none}
    text = f"{len(counts) - len(against)} of {len(counts)} kinds occupy fewer than {none:.0f}"
    reason = ", ".join(f"{case.title(s)} {n:.0f}" for s, n in against.items())
    return Finding(not against, text, f"not fewer: {reason}" if against else "means over seeds")


@claim(
    "rotations_occupy_alike",
    "{rot_imgn}, {rot_dti} and {rot_indist} occupy roughly the same number of soft-classes",
)
def rotations_occupy_alike(case: Case) -> Finding:
    counts = _occupied(case, ["rot_imgn", "rot_dti", "rot_indist"])
    text = ", ".join(f"{case.title(s)} {n:.0f}" for s, n in counts.items())
    holds = max(counts.values()) <= ALIKE * min(counts.values())
    return Finding(holds, text, f"to hold, the largest is at most {ALIKE:g} times the smallest")


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
    return Finding(own < counts[least], text, "means over seeds")
