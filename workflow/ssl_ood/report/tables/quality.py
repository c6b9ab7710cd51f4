"""Tables that need no OOD set to be read: quality of the representation, and hyperparameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import AVERAGE, BASE, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.results import Measurement, Results, Summary, reported_claims, summarise
from ssl_ood.report.table_parts import (
    Column,
    best_in_columns,
    in_unit,
    measure,
    model_title,
    photographs_note,
    record,
    score_words,
    seeds_note,
    titles_of,
)
from ssl_ood.report.writers import measured_cell, number


@register(
    "table",
    "quality",
    title="Quality of the representation",
    notes="Every strategy beside the untrained network: AUROC, k-NN accuracy, sensitivity.",
    needs={"measurements"},
    settings=Scored,
)
def quality_table(results: Results) -> Table:
    """Every strategy beside the untrained network: AUROC, 10-NN accuracy, sensitivity, teacher."""
    homes = results.in_distributions()
    several = len(homes) > 1
    columns = [
        *(
            Column(f"AUROC {results.title('datasets', name).lower()}", "auroc", name)
            for name in dict.fromkeys(n for home in homes for n in results.averages(home))
        ),
        Column(f"{results.spec['evaluation']['knn']}-NN accuracy", "knn_accuracy"),
        Column("weighted vote of the neighbours", "knn_accuracy_weighted"),
        Column("Sensitivity", "sensitivity"),
        Column("Occupied soft-classes", "occupied_soft_classes", unit="count", best=False),
        Column("Entropy of an output", "mean_entropy", unit="nats", best=False),
        Column("Entropy of the mean output", "entropy_of_mean", unit="nats", best=False),
    ]
    n_averages = len(columns) - 6
    rows, records, rules, summaries, log_k = [], [], [], [], None
    for home in homes:
        rules += [len(rows)] * bool(rows)
        lines, names = [], models(results, home)
        for i, (strategy, variant) in enumerate(names):
            lead = [Cell(results.title("datasets", home) if i == 0 else "")] * several
            cells = [*lead, Cell(model_title(results, strategy, variant))]
            for column in columns:
                found = measure(results, home, strategy, column, variant)
                cells.append(measured_cell(found.summary, column.digits, found.status))
                records.append(found.record)
                summaries.append(found.summary)
            found = results.summary(home, strategy, variant=variant, metric="log_k")
            log_k = found.mean if found else log_k
            lines.append(cells)
        n_trained = sum(variant == BASE for _, variant in names)
        bold = [1 + several + i for i, column in enumerate(columns) if column.best]
        best_in_columns(lines, bold, range(n_trained))
        rows += lines
        rules += [len(rows) - 1] * (n_trained < len(names))
    header = ["In-distribution"] * several + ["Negatives", *(c.title for c in columns)]
    groups = [
        ("", 1 + several),
        ("AUROC (%)", n_averages),
        ("In-distribution test images (%)", 3),
        ("Teacher", 3),
    ]
    notes = [
        seeds_note(summaries, results),
        "Bold: largest of the column among the trained networks.",
    ]
    if log_k is not None:
        notes.append(
            f"Entropies in nats; the largest possible is log K = {number(log_k)}. A teacher that "
            "learns has outputs far below it and a mean output that stays near it."
        )
    notes += [note for home in homes for note in photographs_note(results, home)]
    titles = titles_of(results, "datasets", homes)
    caption = (
        f"What each kind of negatives does to the representation of {titles}: AUROC over the OOD "
        f"sets, and measures of the in-distribution test images alone; {score_words(results)}."
    )
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        groups,
        False,
        frozenset(rules),
        notes,
        text_columns=1 + several,
    )


def models(results: Results, home: str) -> list[tuple[str, str]]:
    """(strategy, variant) of the strategies, and last the untrained network where it was run."""
    trained = [(strategy, BASE) for strategy in results.strategies(home)]
    runs = results.spec["runs"]
    untrained = any(run["variant"] == UNTRAINED and run["in_distribution"] == home for run in runs)
    return trained + [(NO_NEGATIVES, UNTRAINED)] * untrained


class Choice(NamedTuple):
    """A value of a hyperparameter, its sensitivity, and the mean AUROC that was not looked at."""

    value: float
    sensitivity: Summary | None
    auroc: Summary | None
    strategy: str
    variant: str


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
            "",
            BASE,
        )
        for tau in results.spec["evaluation"]["taus"]
    ]


def mean_over_strategies(results: Results, home: str, **what: Any) -> Summary | None:
    """Mean over the trained strategies that have a value for a seed, summarised over seeds."""
    by_seed: dict[int, list[Measurement]] = {}
    for strategy in results.strategies(home):
        for seed, found in results.by_seed(home, strategy, score="cosine_tau", **what).items():
            by_seed.setdefault(seed, []).append(found)
    means = [
        Measurement(
            ";".join(f.run for f in found),
            seed,
            np.mean([f.value for f in found]).item(),
            float("nan"),
            float("nan"),
        )
        for seed, found in sorted(by_seed.items())
    ]
    return summarise(means, results.confidence)


def chosen(choices: list[Choice]) -> Choice | None:
    """The choice of the largest mean sensitivity; None where nothing was measured."""
    measured = [c for c in choices if c.sensitivity is not None]
    return max(measured, key=lambda c: c.sensitivity.mean) if measured else None


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
    said = {row["id"]: row["value"] for row in reported_claims(results.reported_dir)}
    shows = results.spec["show_reported"]
    homes = results.in_distributions()
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        blocks = [
            ("λ", strategy, lambda_choices(results, home, strategy), said["optimal_lambda"])
            for strategy in results.strategies(home)
            if strategy != NO_NEGATIVES
        ]
        blocks = [block for block in blocks if len(block[2]) > 1]
        blocks.append(("τ", "", tau_choices(results, home), said["optimal_tau"]))
        for symbol, strategy, choices, reported in blocks:
            rules += [len(rows)] * bool(rows)
            best = chosen(choices)
            for i, choice in enumerate(choices):
                sensitivity = in_unit(choice.sensitivity, "percent")
                auroc = in_unit(choice.auroc, "percent")
                what = results.title("strategies", strategy) if strategy else "all strategies"
                cells = [
                    Cell(results.title("datasets", home) if i == 0 else ""),
                    Cell(what if i == 0 else ""),
                    Cell(f"{symbol} = {choice.value:g}"),
                    measured_cell(sensitivity)._replace(bold=choice is best),
                    Cell("√" if choice is best else ""),
                    measured_cell(auroc),
                ]
                if shows:
                    cells.append(Cell("√" if choice.value == float(reported) else ""))
                rows.append(cells)
                summaries.append(sensitivity)
                for metric, found in (("sensitivity", sensitivity), ("auroc", auroc)):
                    row = record(
                        results,
                        home,
                        AVERAGE if metric == "auroc" else "",
                        choice.strategy or "all",
                        found,
                        variant=choice.variant,
                        metric=metric,
                        score="cosine_tau",
                        tau=choice.value if symbol == "τ" else results.tau_of("cosine_tau"),
                    )
                    row["reported"] = row["difference"] = None
                    extra = {
                        "hyperparameter": "lambda" if symbol == "λ" else "tau",
                        "setting": choice.value,
                        "chosen": choice is best,
                    }
                    if shows:
                        extra["chosen_in_thesis"] = choice.value == float(reported)
                    records.append(extra | row)
    header = [
        "In-distribution",
        "Negatives",
        "Setting",
        "Sensitivity (%)",
        "chosen",
        "Average AUROC (%)",
    ] + ["thesis"] * shows
    notes = [
        seeds_note(summaries, results),
        "Chosen: the largest mean sensitivity, which uses training and test images of the "
        "in-distribution set only. The AUROC over the OOD sets stands beside it to be read, it "
        "chooses nothing.",
        "λ: the weight of the loss on negatives, 0 being no negatives. τ: the temperature of "
        "equation 6.1; its values are means over the strategies.",
    ]
    return Table(
        results.spec["name"],
        "Hyperparameters chosen by the sensitivity score, without OOD data.",
        header,
        rows,
        records,
        [],
        False,
        frozenset(rules),
        notes,
        text_columns=3,
    )
