"""One small function a claim of chapter 5: contrastive learning on chest radiographs.

Runs differ by their train/test split, which a seed chooses; `chapter_6` says what a
check returns.
"""

from __future__ import annotations

import math

from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, POOLED
from ssl_ood.report.claims.case import Case, claim
from ssl_ood.report.claims.verdicts import (
    FAILS,
    ON_PAR,
    UNDECIDED,
    Finding,
    NotMeasurable,
    ahead,
    at_most,
    because,
    every,
    judged,
    open_because,
)
from ssl_ood.report.paired import difference_of_gains
from ssl_ood.report.results import Measurement, Summary, summarise
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
    return Finding(verdict, "", because(reason, unsure), summary)


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
    leads = _over_random(case)
    text = ", ".join(
        f"{signed(lead.mean)} with {labels} labels ({_title(case, start)})"
        for (start, labels), lead in _least_by_labels(leads).items()
    )
    return _together(
        leads, lambda point: f"{_title(case, point[0])} with {point[1]} labels", f"{text}, points"
    )


@claim(
    "pretraining_helps_few_labels",
    "Pretraining without labels is worth more with few labels than with all of them",
)
def pretraining_helps_few_labels(case: Case) -> Finding:
    """Read as: with the fewest labels the lead over a random network is larger than with all."""
    starts = {start for start, _ in _over_random(case)}
    gains = {start: _gain_of_few(case, start) for start in sorted(starts)}
    text = ", ".join(f"{_title(case, s)} {signed(gain.mean)}" for s, gain in gains.items())
    more = f"{text} points more with the fewest labels than with all"
    return _together(gains, lambda start: _title(case, start), more)


@claim(
    "imagenet_start_best",
    "Pretraining without labels does better from weights of ImageNet than from random ones, at "
    "every number of labels",
)
def imagenet_start_best(case: Case) -> Finding:
    points = _points(case)
    pairs = {
        labels: (points["imagenet_con", labels], points["rsna_con", labels])
        for start, labels in points
        if start == "imagenet_con" and ("rsna_con", labels) in points
    }
    if not pairs:
        raise NotMeasurable(
            "no network was pretrained from weights of ImageNet and from random ones"
        )
    ood = abnormal_set(case.results, case.home)
    leads = {labels: _lead(case, *variants, ood) for labels, variants in pairs.items()}
    text = ", ".join(f"{signed(lead.mean)} with {n} labels" for n, lead in leads.items())
    return _together(leads, lambda labels: f"{labels} labels", f"{text}, points")


def _points(case: Case) -> dict[tuple[str, str], str]:
    """Variants that were fine-tuned, by what they start from and their labels, fewest first."""
    return {(p.initialisation, p.labels): p.variant for p in fine_tuned(case.results, case.home)}


def _over_random(case: Case) -> dict[tuple[str, str], Summary]:
    """How far each start that was pretrained without labels is ahead of a random one, by labels."""
    points, ood = _points(case), abnormal_set(case.results, case.home)
    leads = {
        (start, labels): _lead(case, variant, points["random", labels], ood)
        for (start, labels), variant in points.items()
        if start.endswith("_con") and ("random", labels) in points
    }
    if not leads:
        raise NotMeasurable("no pretrained and random network were fine-tuned with as many labels")
    return leads


def _least_by_labels(leads: dict[tuple[str, str], Summary]) -> dict[tuple[str, str], Summary]:
    """Of each number of labels the start that is the least ahead: none is chosen by its AUROC."""
    least: dict[str, tuple[str, str]] = {}
    for start, labels in leads:
        now = least.get(labels)
        if now is None or leads[start, labels].mean < leads[now].mean:
            least[labels] = (start, labels)
    return {point: leads[point] for point in least.values()}


def _gain_of_few(case: Case, start: str) -> Summary:
    """The lead over a random network with the fewest labels minus that with all, in points."""
    points, ood = _points(case), abnormal_set(case.results, case.home)
    labels = [n for name, n in points if name == start and ("random", n) in points]
    if len(labels) < 2:
        raise NotMeasurable("networks were fine-tuned with one number of labels")
    variants = [points[name, n] for n in (labels[0], labels[-1]) for name in (start, "random")]
    pair = [case.by_seed(NO_NEGATIVES, variant=variant, ood=ood) for variant in variants]
    seeds = sorted(set.intersection(*(set(one) for one in pair)))
    if not seeds:
        raise NotMeasurable("these networks have no seed in common")
    gains = []
    for seed in seeds:
        few, few_random, most, most_random = (one[seed] for one in pair)
        gain = (few.value - few_random.value) - (most.value - most_random.value)
        runs, limits = [one[seed].run for one in pair], (math.nan, math.nan)
        if len(seeds) == 1 and (interval := difference_of_gains(case.results, runs, ood)):
            limits = (interval.low, interval.high)
        gains.append(Measurement(";".join(runs), seed, *(100 * v for v in (gain, *limits))))
    return summarise(gains, case.results.confidence)


def _variants(case: Case) -> list[str]:
    return case.results.variants(case.home, NO_NEGATIVES)


def _title(case: Case, variant: str) -> str:
    return case.results.title("variants", variant)


def _lead(case: Case, one: str, other: str, ood: str = "") -> Summary:
    """Points of AUROC that a variant is ahead of another, against the first OOD set."""
    selection = {"ood": ood or case.results.ood_sets(case.home)[0]}
    pair = [case.by_seed(NO_NEGATIVES, variant=variant, **selection) for variant in (one, other)]
    if not pair[0].keys() & pair[1].keys():
        raise NotMeasurable(f"{_title(case, one)} and {_title(case, other)} share no split")
    return case.between(*pair, **selection)


def _together(leads: dict[str, Summary], title, text: str) -> Finding:
    """Whether every lead is one."""
    verdicts = {name: ahead(lead) for name, lead in leads.items()}
    reasons = []
    for verdict, words in ((FAILS, "not"), (UNDECIDED, "open")):
        names = [title(name) for name, found in verdicts.items() if found == verdict]
        reasons += [f"{words}: {', '.join(names)}"] if names else []
    least = min(leads.values(), key=lambda lead: lead.mean)
    return Finding(every(verdicts.values()), text, "; ".join(reasons), least)
