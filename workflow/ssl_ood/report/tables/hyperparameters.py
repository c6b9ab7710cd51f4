"""Hyperparameters chosen without OOD data: λ and τ by the sensitivity score (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import AVERAGE, BASE, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.cells import value
from ssl_ood.report.grid import Column, Grid, Piece, Row
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.records import Record, measure
from ssl_ood.report.reported import reported_claims
from ssl_ood.report.results import Measurement, Results, Summary, summarise

TAU_SCORE = "cosine_tau"  # of equation 6.1
EVERY = "all"  # strategies that a temperature is chosen for
SYMBOLS = {"lambda": "λ", "tau": "τ"}


class Choice(NamedTuple):
    """A value of a hyperparameter, its sensitivity, and the mean AUROC that was not looked at."""

    hyperparameter: str
    value: float
    sensitivity: Summary | None
    auroc: Summary | None
    strategy: str = EVERY
    variant: str = BASE


@register(
    "table",
    "hyperparameters",
    title="Hyperparameters",
    notes="λ and τ chosen by the sensitivity score, without OOD data (section 3.4).",
    needs={"measurements"},
    settings=Scored,
)
def hyperparameters_table(results: Results) -> Table:
    """λ and τ chosen by the sensitivity score, without OOD data (section 3.4)."""
    compares = results.spec["show_reported"]
    values = {row["id"]: row["value"] for row in reported_claims(results.reported_dir)}
    reported = {name: float(values[f"optimal_{name}"]) for name in SYMBOLS}
    rows = []
    for home in results.in_distributions():
        for title, choices in _blocks(results, home):
            best, words = chosen(choices), [results.title("datasets", home), title]
            for choice in choices:
                setting = f"{SYMBOLS[choice.hyperparameter]} = {choice.value:g}"
                chosen_by = {"chosen": choice is best}
                if compares:
                    chosen_by["chosen_in_thesis"] = choice.value == reported[choice.hyperparameter]
                of = {"in_distribution": home, "choice": choice, "chosen": chosen_by}
                rows.append(Row([*words, setting], of, rule=choice is choices[0]))
                words = ["", ""]
    sensitivity = {"Sensitivity (%)": _value_of_chosen, "chosen": _tick("chosen")}
    auroc = {"Average AUROC (%)": value} | (
        {"thesis": _tick("chosen_in_thesis")} if compares else {}
    )
    columns = [
        Column("", {"metric": "sensitivity"}, pieces=sensitivity),
        Column("", {"dataset": AVERAGE}, pieces=auroc),
    ]
    return Grid(results, rows, columns, measure=_measure).table(
        "Hyperparameters chosen by the sensitivity score, without OOD data.",
        ["In-distribution", "Negatives", "Setting"],
        [
            "Chosen: the largest mean sensitivity, which uses training and test images of the "
            "in-distribution set only. The AUROC over the OOD sets stands beside it to be read, it "
            "chooses nothing.",
            "λ: the weight of the loss on negatives, 0 being no negatives. τ: the temperature of "
            "equation 6.1; its values are means over the strategies.",
        ],
        best="",
        name_homes=False,
    )


def _value_of_chosen(records: Sequence[Record]) -> Cell:
    return value(records)._replace(bold=records[0]["chosen"])


def _tick(name: str) -> Piece:
    return lambda records: Cell("√" if records[0][name] else "")


def _blocks(results: Results, home: str) -> list[tuple[str, list[Choice]]]:
    """The choices of every hyperparameter, with the title of whose they are."""
    weights = [
        (results.title("strategies", strategy), lambda_choices(results, home, strategy))
        for strategy in results.strategies(home)
        if strategy != NO_NEGATIVES
    ]
    several = [(title, choices) for title, choices in weights if len(choices) > 1]
    return [*several, ("all strategies", tau_choices(results, home))]


def _measure(
    results: Results, choice: Choice, chosen: dict[str, bool], *, metric: str = "auroc", **of: str
) -> Record:
    """The record of a choice's sensitivity or AUROC, after what says who makes the choice."""
    summary = choice.sensitivity if metric == "sensitivity" else choice.auroc
    of |= {"strategy": choice.strategy, "variant": choice.variant, "metric": metric}
    if choice.strategy != EVERY:
        record = measure(results, **of, summary=summary)
    else:
        record = measure(results, **of, score=TAU_SCORE, summary=summary)
        record["temperature"] = choice.value
    return {"hyperparameter": choice.hyperparameter, "setting": choice.value} | chosen | record


def lambda_choices(results: Results, home: str, strategy: str) -> list[Choice]:
    """The weights λ of the negative loss trained with a strategy, 0 being no negatives."""
    variants: dict[float, tuple[str, str]] = {}
    for run in results.spec["runs"]:
        if run["in_distribution"] != home or run["variant"] == UNTRAINED:
            continue
        if run["strategy"] == strategy or (run["strategy"], run["variant"]) == (NO_NEGATIVES, BASE):
            weight = 0.0 if run["strategy"] == NO_NEGATIVES else float(run["training"]["lambda"])
            variants.setdefault(weight, (run["strategy"], run["variant"]))
    return [
        Choice(
            "lambda",
            weight,
            results.summary(home, name, variant=variant, metric="sensitivity"),
            results.summary(home, name, variant=variant, ood=AVERAGE),
            name,
            variant,
        )
        for weight, (name, variant) in sorted(variants.items())
    ]


def tau_choices(results: Results, home: str) -> list[Choice]:
    """The temperatures of equation 6.1, each with means over the trained strategies."""
    return [
        Choice(
            "tau",
            tau,
            mean_over_strategies(results, home, metric="sensitivity", tau=tau),
            mean_over_strategies(results, home, metric="auroc", ood=AVERAGE, tau=tau),
        )
        for tau in results.spec["evaluation"]["taus"]
    ]


def mean_over_strategies(results: Results, home: str, **selection: Any) -> Summary | None:
    """Mean over the trained strategies that have a value for a seed, summarised over seeds."""
    by_seed: dict[int, list[Measurement]] = {}
    for strategy in results.strategies(home):
        values = results.by_seed(home, strategy, score=TAU_SCORE, **selection)
        for seed, measurement in values.items():
            by_seed.setdefault(seed, []).append(measurement)
    return summarise([_mean(seed, by_seed[seed]) for seed in sorted(by_seed)], results.confidence)


def _mean(seed: int, values: list[Measurement]) -> Measurement:
    import numpy as np

    mean = np.mean([m.value for m in values]).item()
    return Measurement(";".join(m.run for m in values), seed, mean, float("nan"), float("nan"))


def chosen(choices: list[Choice]) -> Choice | None:
    """The choice of the largest mean sensitivity; None where nothing was measured."""
    known = [c for c in choices if c.sensitivity is not None]
    return max(known, key=lambda c: c.sensitivity.mean) if known else None
