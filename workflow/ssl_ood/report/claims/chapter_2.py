"""One small function for each claim of chapters 1 to 4 that runs or images can judge.

Their near and far sets are those of the text: CIFAR-100 and SVHN against CIFAR-10.
"""

from __future__ import annotations

from dataclasses import replace

from ssl_ood.common.errors import UserError
from ssl_ood.common.vocabulary import NO_NEGATIVES
from ssl_ood.measures.colours import likeness
from ssl_ood.report.claims.case import Case, claim
from ssl_ood.report.claims.verdicts import (
    FAILS,
    UNDECIDED,
    Finding,
    NotMeasurable,
    ahead,
    at_most,
    because,
    every,
    open_because,
)
from ssl_ood.report.results import Summary
from ssl_ood.report.writers import number, signed

# "Approximately similar": nearer to two halves of one set (0) than to a far set (1). What is
# claimed is about 0, so that a set half-way to the far one is none of it.
ALIKE_SHARE = 0.5

LIKELIHOOD = "bits_per_dimension"  # the score of a flow


@claim(
    "likelihood_fails",
    "The likelihood of a normalising flow is higher for images of {far} than for test images",
)
def likelihood_fails(case: Case) -> Finding:
    """A likelihood fails where its AUROC is surely below 0.5: the OOD images are the likelier."""
    flows = [b for b in case.results.baselines.values() if b.score == LIKELIHOOD]
    if not flows:
        raise NotMeasurable("no normalising flow is among the baselines of this table")
    area = flows[0].summary(case.home, NO_NEGATIVES, ood=case.far)
    if area is None:
        raise NotMeasurable(f"no flow has been measured on {case.dataset(case.far)}")
    above = area.scaled(100.0)
    below = replace(above, mean=50 - above.mean, low=50 - above.high, high=50 - above.low)
    text = f"AUROC of its bits per dimension {number(above.mean)} %"
    return Finding(ahead(below), text, open_because(below), below)


@claim(
    "not_prone_to_likelihood_failure",
    "Where likelihoods fail, on {far}, every strategy ranks OOD images above test images",
)
def not_prone_to_likelihood_failure(case: Case) -> Finding:
    """The failure is a rank below chance, so that an AUROC above 0.5 is none."""
    margins = {s: case.margin(s, 50.0, ood=case.far) for s in case.results.strategies(case.home)}
    return _for_every_strategy(case, margins, "smallest AUROC {} points above 50")


@claim(
    "near_harder_than_far",
    "Near OOD images ({near}) are harder to detect than far ones ({far}) for every strategy",
)
def near_harder_than_far(case: Case) -> Finding:
    leads = {s: case.contrast(s, case.far, case.near) for s in case.results.strategies(case.home)}
    return _for_every_strategy(case, leads, "the smallest lead {} points")


def _for_every_strategy(case: Case, leads: dict[str, Summary], words: str) -> Finding:
    """Whether the lead of every strategy is one; words: what is said of the smallest."""
    verdicts = {strategy: ahead(lead) for strategy, lead in leads.items()}
    count = sum(lead.mean > 0 for lead in leads.values())
    reasons = []
    for verdict, prefix in ((FAILS, "not for"), (UNDECIDED, "open for")):
        names = [case.title(s) for s, judged in verdicts.items() if judged == verdict]
        reasons += [f"{prefix} {', '.join(names)}"] if names else []
    least = min(leads.values(), key=lambda lead: lead.mean)
    text = f"{count} of {len(leads)} strategies, {words.format(signed(least.mean))}"
    return Finding(every(verdicts.values()), text, because(*reasons), least)


@claim("colours_alike", "The colour distributions of {home} and {near} are alike")
def colours_alike(case: Case) -> Finding:
    images = case.images(case.home, case.near, case.far)
    try:
        alike = likeness(*images, confidence=case.results.confidence)
    except UserError as error:
        raise NotMeasurable(str(error).rstrip(".").lower()) from None
    share, low, high = alike.share
    limits = Summary(share, float("nan"), low, high, "images", 1, ())
    text = (
        f"distance {number(100 * alike.near)} %; of {case.dataset(case.far)} "
        f"{number(100 * alike.far)} %, of two halves of one set {number(100 * alike.halves)} %; "
        f"{number(share)} [{number(low)}, {number(high)}] of the way from the halves to the far set"
    )
    reason = f"total variation of pixel values; to hold, at most {ALIKE_SHARE:g} of the way"
    verdict = at_most(limits, ALIKE_SHARE)
    unsure = open_because(limits, ALIKE_SHARE) if verdict == UNDECIDED else ""
    return Finding(verdict, text, because(reason, unsure), limits)
