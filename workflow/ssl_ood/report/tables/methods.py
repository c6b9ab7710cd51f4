"""Tables 5.2, 7.1 and 7.2: other methods as reported, then ours; one column per OOD set."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ssl_ood.common.registry import lookup, register
from ssl_ood.common.settings import Distinct
from ssl_ood.common.vocabulary import NO_NEGATIVES, POOLED
from ssl_ood.report.cells import REPORTED_BELOW
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Beside
from ssl_ood.report.records import OURS, other_methods
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import origins_note, score_notes, score_title, titles_of_homes

LABELS = "labels"  # in the note of a reported method that uses labels
WITH_LABELS, WITHOUT_LABELS = "With labels", "Without labels, trained on normal images"


class MethodsOptions(Beside):
    """Options of the table of methods."""

    scores: Distinct[str] | None = Field(
        None, description="its scores; without it all of the study"
    )
    pooled: bool = Field(False, description="whether all OOD images at once are a column, too")


@register(
    "table",
    "methods",
    title="Methods",
    notes="Other methods as they were reported or, where the table has runs of them, measured; "
    "then ours with each score, one column per OOD set (tables 5.2, 7.1 and 7.2).",
    needs={"measurements", "shortcuts"},
    settings=MethodsOptions,
    baselines=True,
)
def methods_table(results: Results) -> Table:
    """Other methods with labels, those without, and ours with the reported values below."""
    homes = results.in_distributions()
    others, columns = _rows_of_others(results), _columns(results)
    grid = Grid(results, [*others, *_rows_of_ours(results)], columns)
    return grid.table(
        f"{_subject(results, homes)} {titles_of_homes(results)}.",
        ["Method"],
        [
            _best_note(grid),
            *score_notes(results.scores),
            *["All: the union of the OOD sets."] * any(c.of["dataset"] == POOLED for c in columns),
            *_strategy_note(results, homes),
            *_stand_in_notes(results),
            *origins_note(results),
        ],
        best="column",
        below=REPORTED_BELOW,
        groups_in_markdown=True,
    )


def _columns(results: Results) -> list[Column]:
    """The OOD sets of each dataset, and their union."""
    homes, columns = results.in_distributions(), []
    for home in homes:
        group, sets = results.title("datasets", home) * (len(homes) > 1), results.ood_sets(home)
        for ood in [*sets, *[POOLED] * (results.options.pooled and len(sets) > 1)]:
            of = {"in_distribution": home, "dataset": ood, "unit": "fraction"}
            columns.append(Column(results.title("datasets", ood), of, group))
    return columns


def _rows_of_others(results: Results) -> list[Row]:
    """Other methods with labels, which are beside the comparison, and those without."""
    others = other_methods(results)
    for name, other in results.baselines.items():
        method = lookup("method", other.spec["runs"][0]["method"])
        others[name] = others.get(name) or LABELS * bool(method.more.get("labels"))
    rows = []
    for section in (WITH_LABELS, WITHOUT_LABELS):
        labels = section == WITH_LABELS
        methods = [method for method, note in others.items() if (LABELS in note) == labels]
        rows += [Row([section], rule=True)] * bool(methods)
        rows += [Row([method], {"system": method}, best=not labels) for method in methods]
    return rows


def _rows_of_ours(results: Results) -> list[Row]:
    """The first strategy of every dataset, then the second, each with all scores."""
    named = {home: results.strategies(home) for home in results.in_distributions()}
    most, rows = max(map(len, named.values()), default=0), []
    for i in range(most):
        strategies = {home: names[i] for home, names in named.items() if i < len(names)}
        words = dict.fromkeys(results.title("strategies", s) for s in strategies.values())
        title = f"Ours, {' / '.join(words)}" if most > 1 else "Ours"
        for score in results.scores:
            words = f", {score_title(score)}" if len(results.scores) > 1 else ""
            rows.append(
                Row([title + words], {"strategy": strategies, "score": score}, rule=not rows)
            )
    return rows


def _subject(results: Results, homes: Sequence[str]) -> str:
    strategies = {strategy for home in homes for strategy in results.strategies(home)}
    if strategies - {NO_NEGATIVES}:
        return "AUROC of OOD detection with negative samples; in-distribution:"
    return "AUROC of detecting abnormal images; in-distribution: normal images of"


def _best_note(grid: Grid) -> str:
    aside = ["methods with labels"] * any(row.words == [WITH_LABELS] for row in grid.rows)
    ours = grid.frame["system"] == OURS
    aside += ["the reported values of our own"] * bool(grid.frame["reported"][ours].notna().any())
    return "Bold: best of the column" + (f", {' and '.join(aside)} aside." if aside else ".")


def _strategy_note(results: Results, homes: Sequence[str]) -> list[str]:
    """Which negatives ours has on which dataset, where there are any and no row's title tells."""
    if any(len(results.strategies(home)) > 1 for home in homes):
        return []
    parts = [
        f"{results.title('strategies', strategy)} on {results.title('datasets', home)}"
        for home in homes
        for strategy in results.strategies(home)
        if strategy != NO_NEGATIVES
    ]
    return [f"Negatives of ours: {'; '.join(parts)}."] if parts else []


def _stand_in_notes(results: Results) -> list[str]:
    """Which images a method of another study was measured on, where they are not the table's."""
    notes = []
    for name, other in results.baselines.items():
        stands_for = other.spec.get("stands_for", {})
        homes, sets = (stands_for.get(kind, {}) for kind in ("in_distribution", "ood"))
        parts = [
            f"{results.title('datasets', theirs)} in place of {results.title('datasets', ours)}"
            for ours, theirs in [
                *((home, homes[home]) for home in homes if home in results.in_distributions()),
                *sets.items(),
            ]
        ]
        notes += [f"{name} is measured on {', '.join(parts)}."] * bool(parts)
    return notes
