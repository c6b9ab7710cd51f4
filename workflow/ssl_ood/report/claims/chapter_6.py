"""One small function a claim of chapter 6: what is compared, and when the claim holds.

A function of `Case` returns a `Finding`; where the runs or data for it are not there it raises
`NotMeasurable`. The words beside the id say the claim by roles, without a number of the thesis.
"""

from __future__ import annotations

from dataclasses import replace

from ssl_ood.common.vocabulary import NO_NEGATIVES
from ssl_ood.report.claims.case import Case, Check, claim, seeds_ahead
from ssl_ood.report.claims.verdicts import (
    FAILS,
    HOLDS,
    ON_PAR,
    UNDECIDED,
    Finding,
    NotMeasurable,
    agrees,
    ahead,
    at_most,
    every,
    judged,
)
from ssl_ood.report.results import summarise
from ssl_ood.report.writers import signed

PERMUTED = ("perm16_imgn", "perm4_imgn", "pixperm_imgn")
TABLE = "table_6_1"  # where the thesis reports other methods
BETTER = "the better of two strategies, chosen by the test AUROC itself"
OTHER_DATA = "the thesis's number is for its own data"


@claim("knn_accuracy_none", "The 10-NN accuracy of {none} is the thesis's on CIFAR10")
def knn_accuracy_none(case: Case) -> Finding:
    accuracies = list(case.by_seed(NO_NEGATIVES, metric="knn_accuracy").values())
    summary = summarise(accuracies, case.results.confidence).scaled(100)
    if case.reported is None:
        raise NotMeasurable(OTHER_DATA, summary)
    verdict, reason = agrees(summary, case.reported)
    return Finding(verdict, "", reason, summary)


@claim(
    "knn_accuracy_csi",
    "The 10-NN accuracy of another method, CSI, is lower than that of {none}",
)
def knn_accuracy_csi(case: Case) -> Finding:
    raise NotMeasurable("CSI is not trained here")


def _gain(one: str, other: str) -> Check:
    def check(case: Case) -> Finding:
        selection = {"ood": case.average}
        summary = case.difference(one, other, **selection)
        return judged(summary, case.reported, seeds_ahead(case, one, other, **selection))

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
        verdicts = [ahead(lead) for lead in leads]
        sure, possible = verdicts.count(HOLDS), len(verdicts) - verdicts.count(FAILS)
        verdict = HOLDS if sure >= case.reported else UNDECIDED
        own = [_own_best(case, home, ood) for ood in sets]
        reason = f"{BETTER}; the thesis's own table gives {own.count('ahead')}"
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
    reason = f"{case.title(ours)}, {BETTER}; on par: at most {ON_PAR:g} point behind"
    return Finding(at_most(behind, ON_PAR), "", reason, summary)


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
