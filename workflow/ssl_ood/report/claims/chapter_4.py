"""The claim of chapter 4 that runs can judge: how many images one has to be told from."""

from __future__ import annotations

from ssl_ood.common.vocabulary import NO_NEGATIVES
from ssl_ood.report.claims.case import Case, claim
from ssl_ood.report.claims.verdicts import (
    ON_PAR,
    UNDECIDED,
    Finding,
    NotMeasurable,
    at_most,
    because,
    open_because,
)

ALL = 0  # of training.noise


@claim(
    "few_noise_images_suffice",
    "Instance discrimination from some of the other images is on par with that from all of them",
)
def few_noise_images_suffice(case: Case) -> Finding:
    """On par by the 10-NN accuracy: all of them at most `ON_PAR` points ahead."""
    noise = {
        run["variant"]: run["training"]["noise"]
        for run in case.results.spec["runs"]
        if "noise" in run["training"]
    }
    every = [variant for variant, count in noise.items() if count == ALL]
    some = sorted((count, variant) for variant, count in noise.items() if count != ALL)
    if not every or not some:
        raise NotMeasurable("no run with some, or none with all, of the other images as noise")
    count, fewest = some[0]
    selection = {"metric": "knn_accuracy"}
    pair = [case.by_seed(NO_NEGATIVES, variant=v, **selection) for v in (every[0], fewest)]
    lead = case.between(*pair, **selection)
    verdict, reason = at_most(lead, ON_PAR), f"to hold, at most {ON_PAR:g} point ahead"
    unsure = open_because(lead, ON_PAR) if verdict == UNDECIDED else ""
    detail = f"M = {count:,}: {100 * case.mean(NO_NEGATIVES, variant=fewest, **selection):.2f} %"
    return Finding(verdict, "", because(detail, reason, unsure), lead)
