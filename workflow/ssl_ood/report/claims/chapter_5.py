"""One small function a claim of chapter 5: contrastive learning on chest radiographs.

Runs differ by their train/test split, which a seed chooses; see `claim_checks` of chapter 6 for
what a check returns.
"""

from __future__ import annotations

import math

from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, POOLED
from ssl_ood.report.claims.case import (
    FAILS,
    ON_PAR,
    UNDECIDED,
    Case,
    Finding,
    NotMeasurable,
    ahead,
    at_most,
    claim,
    every,
    judged,
    open_because,
)
from ssl_ood.report.results import Summary
from ssl_ood.report.tables.label_efficiency import abnormal_set, fine_tuned
from ssl_ood.report.writers import signed

OTHERS = "table_5_2"  # where the thesis reports other methods


@claim(
    "contrastive_over_unsupervised",
    "The contrastive model is ahead of earlier methods without labels on every OOD set",
)
def contrastive_over_unsupervised(case: Case) -> Finding:
    sets = case.results.ood_sets(case.home)
    margins = {}
    for ood in [*sets, POOLED] if len(sets) > 1 else sets:
        best = max(case.other_methods(OTHERS, case.home, ood, with_labels=False))
        margins[ood] = case.margin(NO_NEGATIVES, best, ood=ood)
    nearest = min(margins, key=lambda ood: margins[ood].mean)
    more = f"on {case.dataset(nearest)}, the smallest margin" if len(margins) > 1 else ""
    finding = judged(margins[nearest], None, more)
    return finding._replace(verdict=every(map(ahead, margins.values())))


@claim("large_batches_not_needed", "Larger batches do no better than those of the base settings")
def large_batches_not_needed(case: Case) -> Finding:
    sizes = {r["variant"]: r["training"]["batch_size"] for r in case.results.spec["runs"]}
    larger = [v for v in _variants(case) if sizes[v] > sizes.get(BASE, math.inf)]
    leads = {variant: _lead(case, variant, BASE) for variant in larger}
    if not leads:
        raise NotMeasurable("no run with a larger batch has been measured")
    summary = max(leads.values(), key=lambda lead: lead.mean)
    verdict, reason = at_most(summary, ON_PAR), f"to hold, at most {ON_PAR:g} point ahead"
    unsure = open_because(summary, ON_PAR) if verdict == UNDECIDED else ""
    return Finding(verdict, "", "; ".join(filter(None, [reason, unsure])), summary)


@claim("weaker_augmentation_worse", "Each augmentation that is weakened alone lowers the AUROC")
def weaker_augmentation_worse(case: Case) -> Finding:
    weaker = [v for v in _variants(case) if v != BASE and not v.startswith("batch_")]
    if not weaker:
        raise NotMeasurable("no run with a weakened augmentation has been measured")
    leads = {variant: _lead(case, BASE, variant) for variant in weaker}
    text = ", ".join(f"{_title(case, v)} {signed(-lead.mean)}" for v, lead in leads.items())
    return _together(leads, lambda v: _title(case, v), f"{text} points")


@claim(
    "pretraining_over_random",
    "A network that was pretrained without labels is ahead of a random one at every number of "
    "labels",
)
def pretraining_over_random(case: Case) -> Finding:
    ood = abnormal_set(case.results, case.home)
    points = {(p.initialisation, p.labels): p.variant for p in fine_tuned(case.results, case.home)}
    leads = {}
    for (start, labels), variant in points.items():
        if start.endswith("_con") and ("random", labels) in points:
            lead = _lead(case, variant, points["random", labels], ood)
            if labels not in leads or lead.mean > leads[labels].mean:
                leads[labels] = lead
    if not leads:
        raise NotMeasurable("no pretrained and random network were fine-tuned with as many labels")
    text = ", ".join(f"{signed(lead.mean)} with {n} labels" for n, lead in leads.items())
    return _together(leads, lambda labels: f"{labels} labels", f"{text} (points, the better start)")


def _variants(case: Case) -> list[str]:
    return case.results.variants(case.home, NO_NEGATIVES)


def _title(case: Case, variant: str) -> str:
    return case.results.title("variants", variant)


def _lead(case: Case, one: str, other: str, ood: str = "") -> Summary:
    """Points of AUROC that a variant is ahead of another, against the first OOD set."""
    what = {"ood": ood or case.results.ood_sets(case.home)[0]}
    found = [case.by_seed(NO_NEGATIVES, variant=variant, **what) for variant in (one, other)]
    if not found[0].keys() & found[1].keys():
        raise NotMeasurable(f"{_title(case, one)} and {_title(case, other)} share no split")
    return case.between(*found, **what)


def _together(leads: dict[str, Summary], title, text: str) -> Finding:
    """Whether every lead is one."""
    verdicts = {name: ahead(lead) for name, lead in leads.items()}
    reasons = []
    for verdict, words in ((FAILS, "not"), (UNDECIDED, "open")):
        names = [title(name) for name, found in verdicts.items() if found == verdict]
        reasons += [f"{words}: {', '.join(names)}"] if names else []
    least = min(leads.values(), key=lambda lead: lead.mean)
    return Finding(every(verdicts.values()), text, "; ".join(reasons), least)
