"""Cells of two models: what one has measured, and its difference to the other with its interval.

A row of a `Grid` names its cells by column, what each shows and what it is compared with:

    row = Row(["warm-up"], {"in_distribution": home, "strategy": strategy, "choices": ["warmup"],
                            "cells": {"near": (Shown("warmup_10", near), Shown("base", near))}})
    Grid(results, [row], [Column("Near", {"column": "near"}, pieces=...)], measure=compare)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ssl_ood.common.vocabulary import MEASURED, SEEDS
from ssl_ood.report.cells import DIGITS, value
from ssl_ood.report.layout import Cell
from ssl_ood.report.paired import Of, difference
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import NOT_RUN, Measurement, Results, summarise
from ssl_ood.report.writers import number, signed


class Shown(NamedTuple):
    """What a cell shows of a strategy: of a variant, something that is measured."""

    variant: str
    of: Of


# By the column: what the cell shows, and what it is compared with, if with anything.
Cells = Mapping[str, tuple[Shown, Shown | None]]


def compare(
    results: Results,
    in_distribution: str,
    strategy: str,
    *,
    column: str,
    choices: Sequence[str] = (),
    cells: Cells | None = None,
) -> Record | None:
    """The record of a cell; beside its value that of its difference, in points.

    choices: of the protocol, that the row is of. None for a column that the row has no cell of.
    """
    if cells is None or column not in cells:
        return None
    shown, against = cells[column]
    by_seed = _by_seed(results, in_distribution, strategy, shown)
    record = measure(
        results,
        in_distribution,
        strategy,
        dataset=" ".join(_names(shown.of)),
        variant=shown.variant,
        metric=shown.of.metric,
        summary=summarise(list(by_seed.values()), results.confidence),
    )
    if not by_seed:
        record["status"] = _status(results, in_distribution, strategy, shown)
    change = None
    if against is not None:
        base = _by_seed(results, in_distribution, strategy, against)
        change = difference(results, by_seed, base, (shown.of, against.of), 100.0)
    over = change and (results.repeats if change.over == SEEDS else "images, paired")
    return (
        {"choice": " ".join(choices)}
        | record
        | {
            "against": _compared_with(shown, against),
            "change": change and change.mean,
            "change_low": change and change.low,
            "change_high": change and change.high,
            "change_over": "" if change is None or math.isnan(change.low) else over,
            "change_n": change.n if change else 0,
        }
    )


def _by_seed(results: Results, home: str, strategy: str, shown: Shown) -> dict[int, Measurement]:
    """What is measured by seed; of several OOD sets the mean, where all of them are."""
    selection = {"variant": shown.variant, "metric": shown.of.metric}
    measurements = [
        results.by_seed(home, strategy, ood=name, **selection) for name in _names(shown.of)
    ]
    if len(measurements) == 1:
        return measurements[0]
    seeds = sorted(set.intersection(*map(set, measurements)))
    means = {
        seed: sum(one[seed].value for one in measurements) / len(measurements) for seed in seeds
    }
    return {
        seed: Measurement(measurements[0][seed].run, seed, mean, math.nan, math.nan)
        for seed, mean in means.items()
    }


def _names(of: Of) -> list[str]:
    return [of.ood] if isinstance(of.ood, str) else list(of.ood)


def _status(results: Results, home: str, strategy: str, shown: Shown) -> str:
    """Why nothing is measured: of several sets, of the first without a number."""
    selection = {"variant": shown.variant, "metric": shown.of.metric}
    statuses = [results.status(home, strategy, ood=name, **selection) for name in _names(shown.of)]
    return next((status for status in statuses if status != MEASURED), NOT_RUN)


def _compared_with(shown: Shown, against: Shown | None) -> str:
    """`base`, or what of the base a second evaluation is compared with: sets, or a metric."""
    if against is None:
        return ""
    if shown.variant != against.variant:
        return against.variant
    return " ".join(_names(against.of)) or against.of.metric


def shown_value(records: Sequence[Record]) -> Cell:
    """The value, or why there is none; empty where the row has no such cell."""
    return value(records) if records else Cell("")


def shown_change(records: Sequence[Record]) -> Cell:
    """`+0.42 [0.10, 0.74]`, bold where the interval excludes 0; empty where nothing is compared."""
    if not records or records[0]["change"] is None or math.isnan(records[0]["change"]):
        return Cell("")
    record = records[0]
    low, high = record["change_low"], record["change_high"]
    digits = DIGITS[record["unit"]]
    limits = f" [{number(low, digits)}, {number(high, digits)}]"
    sure = not math.isnan(low) and not low <= 0 <= high
    rest = "" if math.isnan(low) else limits
    return Cell(signed(record["change"], digits), rest, bold=sure)
