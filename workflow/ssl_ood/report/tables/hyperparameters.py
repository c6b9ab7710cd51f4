"""Hyperparameters chosen without OOD data: λ and τ by the sensitivity score (section 3.4)."""

from __future__ import annotations

from typing import Any, NamedTuple

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import AVERAGE, BASE, MEASURED, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.draft import Draft, measured
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.reported import reported_claims
from ssl_ood.report.results import Measurement, Results, Summary, summarise
from ssl_ood.report.table_parts import OURS, Entry, entry_of, in_unit

TAU_SCORE = "cosine_tau"  # of equation 6.1
EVERY = "all"  # strategies that a temperature is chosen for


class Choice(NamedTuple):
    """A value of a hyperparameter, its sensitivity, and the mean AUROC that was not looked at."""

    value: float
    sensitivity: Summary | None
    auroc: Summary | None
    strategy: str = EVERY
    variant: str = BASE


class Block(NamedTuple):
    """The choices of a hyperparameter, and the one that the thesis makes."""

    symbol: str
    name: str
    title: str
    choices: list[Choice]
    reported: float


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
    draft = Draft(results, ["In-distribution", "Negatives", "Setting"])
    for home in results.in_distributions():
        for block in _blocks(results, home):
            best = chosen(block.choices)
            for i, choice in enumerate(block.choices):
                sensitivity, auroc = _entries(results, home, block, choice)
                cells = [
                    Cell(results.title("datasets", home) if i == 0 else ""),
                    Cell(block.title if i == 0 else ""),
                    Cell(f"{block.symbol} = {choice.value:g}"),
                    measured(sensitivity, 2)._replace(bold=choice is best),
                    Cell("√" if choice is best else ""),
                    measured(auroc, 2),
                    *[Cell("√" if choice.value == block.reported else "")] * compares,
                ]
                draft.add(home, cells, rule=i == 0)
                more = {"hyperparameter": block.name, "setting": choice.value}
                more |= {"chosen": choice is best}
                more |= {"chosen_in_thesis": choice.value == block.reported} if compares else {}
                for entry in (sensitivity, auroc):
                    draft.keep(entry._replace(record=more | entry.record))
    return draft.table(
        "Hyperparameters chosen by the sensitivity score, without OOD data.",
        ["Sensitivity (%)", "chosen", "Average AUROC (%)", *["thesis"] * compares],
        [
            "Chosen: the largest mean sensitivity, which uses training and test images of the "
            "in-distribution set only. The AUROC over the OOD sets stands beside it to be read, it "
            "chooses nothing.",
            "λ: the weight of the loss on negatives, 0 being no negatives. τ: the temperature of "
            "equation 6.1; its values are means over the strategies.",
        ],
    )


def _blocks(results: Results, home: str) -> list[Block]:
    values = {row["id"]: row["value"] for row in reported_claims(results.reported_dir)}
    weight, tau = (float(values[f"optimal_{name}"]) for name in ("lambda", "tau"))
    blocks = [
        Block("λ", "lambda", results.title("strategies", strategy), choices, weight)
        for strategy in results.strategies(home)
        if strategy != NO_NEGATIVES and len(choices := lambda_choices(results, home, strategy)) > 1
    ]
    return [*blocks, Block("τ", "tau", "all strategies", tau_choices(results, home), tau)]


def _entries(results: Results, home: str, block: Block, choice: Choice) -> tuple[Entry, Entry]:
    """The sensitivity and the AUROC of a choice, in percent."""
    identity = {
        "in_distribution": home,
        "system": OURS,
        "method": results.training_method(home, choice.strategy),
        "strategy": choice.strategy,
        "variant": choice.variant,
        "score": TAU_SCORE,
        "temperature": choice.value if block.name == "tau" else results.tau_of(TAU_SCORE),
        "unit": "percent",
    }

    def entry(metric: str, ood: str, summary: Summary | None) -> Entry:
        status = MEASURED
        if summary is None:
            what = {"variant": choice.variant, "metric": metric, "ood": ood}
            status = results.status(home, choice.strategy, **what)
        row = identity | {"metric": metric, "dataset": ood}
        return entry_of(results, row, status, in_unit(summary, "percent"))

    return entry("sensitivity", "", choice.sensitivity), entry("auroc", AVERAGE, choice.auroc)


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
            tau,
            mean_over_strategies(results, home, metric="sensitivity", tau=tau),
            mean_over_strategies(results, home, metric="auroc", ood=AVERAGE, tau=tau),
        )
        for tau in results.spec["evaluation"]["taus"]
    ]


def mean_over_strategies(results: Results, home: str, **what: Any) -> Summary | None:
    """Mean over the trained strategies that have a value for a seed, summarised over seeds."""
    by_seed: dict[int, list[Measurement]] = {}
    for strategy in results.strategies(home):
        values = results.by_seed(home, strategy, score=TAU_SCORE, **what)
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
