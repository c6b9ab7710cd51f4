"""One small function a claim of chapter 6: what is compared, and when the claim holds.

A function of `Case` returns a `Finding`; where the runs or data for it are not there it raises
`NotMeasurable`. The words beside the id say the claim by roles, without a number of the thesis.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES
from ssl_ood.report.claims.case import (
    FAILS,
    HOLDS,
    ON_PAR,
    UNDECIDED,
    Case,
    Check,
    Finding,
    NotMeasurable,
    agrees,
    ahead,
    at_most,
    claim,
    every,
    judged,
    open_because,
    seeds_ahead,
)
from ssl_ood.report.results import Summary, summarise
from ssl_ood.report.tables.hyperparameters import Choice, chosen, lambda_choices, tau_choices
from ssl_ood.report.writers import number, signed

PERMUTED = ("perm16_imgn", "perm4_imgn", "pixperm_imgn")
TAU_RANGE = (0.02, 0.08)
TABLE = "table_6_1"  # where the thesis reports other methods
OTHER_DATA = "the thesis's number is for its own data"


@claim("knn_accuracy_none", "The 10-NN accuracy of {none} is the thesis's on CIFAR10")
def knn_accuracy_none(case: Case) -> Finding:
    found = list(case.by_seed(NO_NEGATIVES, metric="knn_accuracy").values())
    summary = summarise(found, case.results.confidence).scaled(100)
    if case.reported is None:
        raise NotMeasurable(OTHER_DATA, summary)
    agreed, reason = agrees(summary, case.reported)
    return Finding(HOLDS if agreed else FAILS, "", reason, summary)


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
        leads = []
        for ood in sets:
            best = max(case.other_methods(TABLE, home, ood))
            ours = case.best(("rot_imgn", "combined"), home=home, ood=ood)
            leads.append(case.margin(ours, best, home=home, ood=ood))
        if case.reported is None:
            raise NotMeasurable(OTHER_DATA)
        found = [ahead(lead) for lead in leads]
        sure, possible = found.count(HOLDS), len(found) - found.count(FAILS)
        verdict = HOLDS if sure >= case.reported else UNDECIDED
        own = [_own_best(case, home, ood) for ood in sets]
        reason = f"the thesis's own table gives {own.count('ahead')}"
        reason += f" and {own.count('tie')} tied" if "tie" in own else ""
        reason += f"; by their intervals between {sure} and {possible}" if sure < possible else ""
        counted = sum(lead.mean > 0 for lead in leads)
        return Finding(
            verdict if possible >= case.reported else FAILS,
            f"{counted} of {len(sets)} sets",
            reason,
        )

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
    "second_to_first_on_par",
    "With the second in-distribution set, ours is on par with the best other self-supervised "
    "method on the first",
)
def second_to_first_on_par(case: Case) -> Finding:
    best = max(case.other_methods(TABLE, case.second, case.home, with_labels=False))
    ours = case.best(("rot_imgn", "combined"), home=case.second, ood=case.home)
    summary = case.margin(ours, best, home=case.second, ood=case.home)
    behind = replace(summary, mean=-summary.mean, low=-summary.high, high=-summary.low)
    reason = f"{case.title(ours)}; on par: at most {ON_PAR:g} point behind"
    return Finding(at_most(behind, ON_PAR), "", reason, summary)


@claim(
    "near_harder_than_far",
    "Near OOD images ({near}) are harder to detect than far ones ({far}) for every strategy",
)
def near_harder_than_far(case: Case) -> Finding:
    leads = {s: case.contrast(s, case.far, case.near) for s in case.results.strategies(case.home)}
    verdicts = {s: ahead(lead) for s, lead in leads.items()}
    count = sum(lead.mean > 0 for lead in leads.values())
    reasons = []
    for verdict, words in ((FAILS, "not for"), (UNDECIDED, "open for")):
        names = [case.title(s) for s, found in verdicts.items() if found == verdict]
        reasons += [f"{words} {', '.join(names)}"] if names else []
    least = min(leads.values(), key=lambda lead: lead.mean)
    text = f"{count} of {len(leads)} strategies, the smallest lead {signed(least.mean)} points"
    return Finding(every(verdicts.values()), text, "; ".join(reasons), least)


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
    verdict = every(at_most(gain, ON_PAR) for gain in gains.values())
    return Finding(verdict, f"{text} points", f"on par: at most {ON_PAR:g} point ahead")


def _higher(one: str, other: str, metric: str) -> Check:
    def check(case: Case) -> Finding:
        summary = case.difference(one, other, metric=metric)
        return judged(summary, None, seeds_ahead(case, one, other, metric=metric))

    return check


@claim(
    "sensitivity_above_half",
    "With rotated negatives, {rot_imgn}, the sensitivity is above 0.5",
)
def sensitivity_above_half(case: Case) -> Finding:
    summary = case.margin("rot_imgn", 50.0, metric="sensitivity")
    return judged(summary, None, "points above 50")


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
    verdict = HOLDS if abs(average - expected) <= step + 1e-9 else FAILS
    if {taus[0], taus[-1]} & set(best.values()):
        reason += "; the sensitivity is largest at an end of the grid, so that it may lie beyond"
        verdict = UNDECIDED
    return Finding(verdict, text, reason)


@claim(
    "tau_range",
    "Over the datasets the temperature τ that the sensitivity chooses lies between 0.02 and 0.08",
)
def tau_range(case: Case) -> Finding:
    best = {home: chosen(tau_choices(case.results, home)) for home in case.homes}
    best = {home: choice.value for home, choice in best.items() if choice is not None}
    taus = case.results.spec["evaluation"]["taus"]
    if not best:
        raise NotMeasurable("no sensitivity has been measured")
    if min(taus) >= TAU_RANGE[0] and max(taus) <= TAU_RANGE[1]:
        raise NotMeasurable("the config measures no temperature outside of that range")
    text = ", ".join(f"τ = {v:g} for {case.dataset(home)}" for home, v in best.items())
    inside = all(TAU_RANGE[0] <= v <= TAU_RANGE[1] for v in best.values())
    return Finding(HOLDS if inside else FAILS, text, "")


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
    best = chosen(choices)
    text, reason = f"λ = {best.value:g} ({case.title(strategy)})", f"sensitivity {values}"
    rivals = [c for c in choices if c.value != expected]
    if best.value != expected:
        rivals = [best]
    ours = next((c for c in choices if c.value == expected), None)
    if ours is None:
        return Finding(FAILS, text, f"λ = {expected:g} was not trained; {reason}")
    leads = [_more_sensitive(case, ours, rival) for rival in rivals]
    nearest = min(leads, key=lambda lead: lead.mean)
    return Finding(ahead(nearest), text, "; ".join(filter(None, [reason, open_because(nearest)])))


def _more_sensitive(case: Case, one: Choice, other: Choice) -> Summary:
    """How many points of sensitivity a choice of λ is ahead of another."""
    found = [
        case.by_seed(choice.strategy, variant=choice.variant, metric="sensitivity")
        for choice in (one, other)
    ]
    if not found[0].keys() & found[1].keys():
        raise NotMeasurable("the values of λ have no seed in common")
    return case.between(*found, metric="sensitivity")
