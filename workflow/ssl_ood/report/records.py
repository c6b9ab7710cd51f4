"""Records: what was measured, and what the thesis reports of the same, as rows of a csv file."""

from __future__ import annotations

from typing import Any

from ssl_ood.common.vocabulary import BASE, MEASURED, SEEDS
from ssl_ood.report.reported import QUOTED, SCALES, ReportedKey
from ssl_ood.report.results import SCORED, Results, Summary

OURS = "ours"  # the system of measured rows; quoted rows name another
# A row: what it is of, in a `unit`, and of it `Summary`, status, the thesis's value and difference.
Record = dict[str, Any]


def measure(
    results: Results,
    in_distribution: str,
    strategy: str = "",
    *,
    system: str = OURS,
    dataset: str = "",
    variant: str = BASE,
    metric: str = "auroc",
    score: str = "",
    unit: str = "percent",
    summary: Summary | None = None,
    quoted: str = "",
) -> Record:
    """A model's measurement in a unit, and the value of the thesis that option `reported` names.

    system: where it is another, of no strategy and score of ours, its value is quoted, and measured
    too where the target compares with runs of it. score: by
    default the one shown, where the metric needs one. summary: what was measured, where it is not
    of the runs of one strategy. quoted: the system as which the thesis's value is reported, where
    it is not of a strategy.
    """
    method, shown = results.training_method(in_distribution, strategy), results
    if system != OURS:
        variant, score, status, other = "", "", QUOTED, system
        if system in results.baselines:
            shown = results.baselines[system]
            run = shown.spec["runs"][0]
            selection = {"variant": run["variant"], "metric": metric, "ood": dataset}
            summary = summary or shown.summary(in_distribution, run["strategy"], **selection)
            status = (
                MEASURED if summary else shown.status(in_distribution, run["strategy"], **selection)
            )
            method = run["method"]
    else:
        score, other = score or results.score if metric in SCORED else "", ""
        selection = {"variant": variant, "metric": metric, "ood": dataset, "score": score}
        summary = summary or results.summary(in_distribution, strategy, **selection)
        status = MEASURED if summary else results.status(in_distribution, strategy, **selection)
    if summary:
        summary = summary.scaled(SCALES.get(unit, 1.0))  # counts and nats are as they were measured
    key = ReportedKey("", in_distribution, dataset, strategy, variant, other, metric, score)
    if quoted:
        key = key._replace(strategy="", variant="", system=quoted, score="")
    reported = _reported(results, key, unit)
    if shown is not results and metric in SCORED:
        score = shown.score
    return {
        "in_distribution": in_distribution,
        "dataset": dataset,
        "system": system,
        "method": method,
        "strategy": strategy,
        "variant": variant,
        "score": score,
        "temperature": shown.tau_of(score),
        "metric": metric,
        "unit": unit,
        "measured": summary and summary.mean,
        "spread": summary and summary.spread,
        "low": summary and summary.low,
        "high": summary and summary.high,
        "over": summary and (results.repeats if summary.over == SEEDS else summary.over),
        "n": summary.n if summary else 0,
        "status": status,
        "reported": reported,
        "difference": summary.mean - reported if summary and reported is not None else None,
        "runs": ";".join(summary.runs) if summary else "",
    }


def _reported(results: Results, key: ReportedKey, unit: str) -> float | None:
    """A number printed in the thesis, in a unit; None where there is none to show.

    key: without the artefact, which option `reported` names.
    """
    for artefact in artefacts(results):
        value = results.reported.get(key._replace(artefact=artefact))
        if value is not None:
            return value.in_unit(unit)
    return None


def artefacts(results: Results) -> list[str]:
    """Option `reported`: the table of the thesis, or several, of which the first that has a value.

    Empty where no value of the thesis is to be shown.
    """
    named = getattr(results.options, "reported", None) or ()
    return [named] if isinstance(named, str) else list(named)


def other_methods(results: Results) -> dict[str, str]:
    """The methods of the thesis's table that are not ours, with what is said of them."""
    shown = artefacts(results)
    return {
        key.system: value.note
        for key, value in results.reported.items()
        if key.artefact in shown and not key.ours
    }
