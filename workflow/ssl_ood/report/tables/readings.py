"""What each choice of the protocol is worth: other readings of the thesis against ours.

A reading is a variant, trained beside the base of the same strategy, or a second evaluation of the
base: on another set or at another size of its images, or by another metric. Which choice a reading
is of, resources/protocol.csv says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.common.vocabulary import AVERAGE, BASE, JOIN
from ssl_ood.datasets.names import AT
from ssl_ood.report.compared import Cells, Shown, compare, shown_change, shown_value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Scored
from ssl_ood.report.paired import Of
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import photographs_notes, score_words, titles_of_homes
from ssl_ood.study.protocol import Choice, read_protocol

VOTE, MAJORITY = "knn_accuracy", "knn_accuracy_majority"
NAMED = 2  # choices that a row names; more are counted


class ReadingsOptions(Scored):
    """Options of the table of readings."""

    near: str = Field(description="an OOD set that is like the in-distribution set")
    second_evaluations: Distinct[str] | None = Field(
        None,
        description="strategies whose base is also shown on the sets that are evaluated beside, "
        "and by the majority of the neighbours; without it all",
    )


@register(
    "table",
    "readings",
    title="Other readings",
    section="protocol",
    notes="What each choice of the protocol is worth: AUROC, k-NN accuracy and sensitivity of each "
    "other reading, and its difference to the base with a paired interval.",
    needs={"measurements", "scores", "beside"},
    settings=ReadingsOptions,
    against=BASE,
)
def readings_table(results: Results) -> Table:
    """Every other reading beside the base of its strategy."""
    choices, shown = read_protocol(), _columns(results)
    level = f"{100 * results.confidence:g} %"
    pieces = {"%": shown_value, f"Δ [{level}]": shown_change}
    columns = [Column(title, {"column": name}, pieces=pieces) for name, (title, _) in shown.items()]
    rows = [
        row
        for home in results.in_distributions()
        for strategy in results.strategies(home)
        for row in _rows_of(results, choices, home, strategy)
    ]
    grid = Grid(results, rows, columns, measure=compare)
    changes = int(grid.frame["change"].notna().sum()) if len(grid.frame) else 0
    return grid.table(
        "What the choices of the protocol are worth: other readings against the base of the same "
        f"strategy, with {titles_of_homes(results)} as in-distribution, in %; "
        f"{score_words(results)}.",
        ["Choice", "Reading"],
        [
            "Choices are rows of resources/protocol.csv (docs/protocol.md). Δ: the reading minus "
            "the base, in points, within each seed.",
            f"Intervals at {level}: of the mean over seeds (Student) where there are several; of "
            "one seed over images, the same images by both models: DeLong's covariance for AUROC "
            "and sensitivity, for the k-NN accuracy the normal interval of the differences by "
            "image. Those over images say nothing of another training. The csv file says which.",
            f"Bold: the interval excludes 0, as one in {1 / (1 - results.confidence):.0f} does by "
            f"chance; there are {changes} differences.",
            *_second_notes(rows),
            *photographs_notes(results),
        ],
        best="",
        groups_in_markdown=True,
        over_images="DeLong; Wilson for the accuracy",
    )


def _columns(results: Results) -> dict[str, tuple[str, Of]]:
    """The columns by name: the title, and what is measured."""
    homes, near = results.in_distributions(), results.options.near
    averages = dict.fromkeys(name for home in homes for name in results.averages(home))
    titles = {name: results.title("datasets", name).lower() for name in averages}
    titles[near] = results.title("datasets", near)
    columns = {name: (f"AUROC {title}", Of(ood=name)) for name, title in titles.items()}
    vote = f"{results.spec['evaluation']['knn']}-NN accuracy"
    sensitivity = ("Sensitivity", Of("sensitivity"))
    return columns | {VOTE: (vote, Of(VOTE)), "sensitivity": sensitivity}


def _rows_of(
    results: Results, choices: Sequence[Choice], home: str, strategy: str
) -> Iterator[Row]:
    """Of a strategy: a heading, the base, its other readings, then the base evaluated again."""
    columns = _columns(results)

    def row(ids: Sequence[str], title: str, cells: Cells) -> Row:
        of = {"in_distribution": home, "strategy": strategy, "choices": ids, "cells": cells}
        return Row([_named(ids), title], of)

    def cells_of(variant: str) -> Cells:
        base = {name: Shown(BASE, of) for name, (_, of) in columns.items()}
        if variant == BASE:
            return {name: (shown, None) for name, shown in base.items()}
        return {name: (shown._replace(variant=variant), shown) for name, shown in base.items()}

    heading = [results.title("strategies", strategy), ""]
    yield Row(heading, {"in_distribution": home, "strategy": strategy}, rule=True)
    yield row([], "Base", cells_of(BASE))
    own = [variant for variant in results.variants(home, strategy) if variant != BASE]
    declared = list(dict.fromkeys(v for choice in choices for v in choice.variants))
    for variant in sorted(own, key=lambda v: _place(declared, v)):
        ids = [choice.id for choice in choices if variant in choice.variants]
        title = ", ".join(results.title("variants", part) for part in variant.split(JOIN))
        yield row(ids, title, cells_of(variant))
    chosen = results.options.second_evaluations
    if chosen is None or strategy in chosen:
        for ids, title, cells in _second(results, choices, home):
            yield row(ids, title, cells)


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _named(ids: Sequence[str]) -> str:
    """The choices that a reading is of, in words."""
    return ", ".join(ids) if len(ids) <= NAMED else f"{len(ids)} choices at once"


def _second(
    results: Results, choices: Sequence[Choice], home: str
) -> Iterator[tuple[list[str], str, Cells]]:
    """The rows of second evaluations: the choice, a title and the cells of ours, then of the other.

    Sets stand in the column of the first average; of a choice with several their means come last.
    Sets beside that are of no choice are not shown.
    """
    title = partial(results.title, "datasets")
    for choice, pairs in _pairs(results, choices, home).items():
        blocks = [((ours,), (other,), title(ours), title(other)) for ours, other in pairs]
        if len(pairs) > 1:
            ours, others = zip(*pairs, strict=True)
            blocks.append((ours, others, f"Mean of these {len(pairs)}: ours", "the other"))
        for ours, others, *titles in blocks:
            first, second = (
                Shown(BASE, Of(ood=sets if len(sets) > 1 else sets[0])) for sets in (ours, others)
            )
            yield [choice], titles[0], {AVERAGE: (first, None)}
            yield [choice], titles[1], {AVERAGE: (second, first)}
    for choice in choices:
        if MAJORITY in choice.second and results.spec["evaluation"]["knn"]:
            vote, majority = Shown(BASE, Of(VOTE)), Shown(BASE, Of(MAJORITY))
            yield [choice.id], "Weighted vote", {VOTE: (vote, None)}
            yield [choice.id], "Majority of the neighbours", {VOTE: (majority, vote)}


def _pairs(
    results: Results, choices: Sequence[Choice], home: str
) -> dict[str, list[tuple[str, str]]]:
    """By choice, the (set of ours, other set) of its second evaluations."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for other in results.beside_sets(home):
        dataset, at, _ = other.partition(AT)
        for choice in choices:
            ours = dataset if at else choice.dataset
            # A size of its own is the same choice, whatever set has it.
            if ours and (other in choice.second or (at and _sizes(choice))):
                pairs.setdefault(choice.id, []).append((ours, other))
                break
    return pairs


def _sizes(choice: Choice) -> bool:
    return any(AT in name for name in choice.second)


def _second_notes(rows: Sequence[Row]) -> list[str]:
    cells = [cell for row in rows for cell in ((row.of or {}).get("cells") or {}).items()]
    if not any(name == AVERAGE and shown.of.ood != AVERAGE for name, (shown, _) in cells):
        return []
    return [
        "Second evaluations are of the base, without training; the column of the average has the "
        "AUROC of the set, or the mean of the sets, that the row names. The same images at another "
        "size are compared image by image; other sets as if they had no image in common, which "
        "makes the interval of a set against a part of it too wide."
    ]
