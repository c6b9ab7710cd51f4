"""Tables 5.2, 7.1 and 7.2: other methods as reported, then ours; one column per OOD set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Distinct
from ssl_ood.common.vocabulary import NO_NEGATIVES, POOLED
from ssl_ood.report.draft import (
    REPORTED_ROW,
    Cells,
    Draft,
    best_in_columns,
    is_empty,
    measured,
    reported,
)
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import Column, other_methods, score_notes, score_title, titles_of
from ssl_ood.report.writers import number

DIGITS = 3
LABELS = "labels"  # in the note of a reported method that uses labels
WITH_LABELS, WITHOUT_LABELS = "With labels", "Without labels, trained on normal images"
SECTIONS = {True: WITH_LABELS, False: WITHOUT_LABELS}


class MethodsOptions(Beside):
    """Options of the table of methods."""

    scores: Distinct[str] | None = Field(
        None, description="its scores; without it all of the study"
    )
    pooled: bool = Field(False, description="whether all OOD images at once are a column, too")


class Place(NamedTuple):
    """A column: an OOD set of an in-distribution dataset."""

    home: str
    column: Column


class Ours(NamedTuple):
    """A row of ours: a score, and the strategy on each dataset."""

    title: str
    score: str
    strategies: dict[str, str]


class Line(NamedTuple):
    """A row before it is known which cells are the best. best: whether it may have them."""

    section: str
    cells: Cells
    below: Cells
    best: bool = True


@register(
    "table",
    "methods",
    title="Methods",
    notes="Other methods as they were reported, then ours with each score, one column per OOD set "
    "(tables 5.2, 7.1 and 7.2).",
    needs={"measurements"},
    settings=MethodsOptions,
)
def methods_table(results: Results) -> Table:
    """Other methods with labels, those without, and ours with the reported values below."""
    homes, draft = results.in_distributions(), Draft(results, ["Method"])
    places = _places(results, homes)
    lines = _lines_of_others(draft, places) + _lines_of_ours(draft, places)
    cells = [line.cells for line in lines]
    candidates = [i for i, line in enumerate(lines) if line.best]
    best_in_columns(cells, range(1, 1 + len(places)), candidates)
    section = ""
    for line, row in zip(lines, cells, strict=True):
        new, section = line.section != section, line.section
        if new and section in SECTIONS.values():
            draft.add("", [Cell(section), *[Cell("")] * len(places)], rule=True)
            new = False
        draft.add("", row, line.below, rule=new)
    several = len(homes) > 1
    counts = {home: sum(place.home == home for place in places) for home in homes}
    return draft.table(
        f"{_subject(results, homes)} {titles_of(results, 'datasets', homes)}.",
        [place.column.title for place in places],
        [_best_note(lines), *score_notes(results.scores)]
        + ["All: the union of the OOD sets."] * any(p.column.ood == POOLED for p in places)
        + _strategy_note(results, homes),
        [(results.title("datasets", home), n) for home, n in counts.items()] if several else [],
        groups_in_markdown=True,
    )


def _lines_of_others(draft: Draft, places: Sequence[Place]) -> list[Line]:
    lines = []
    others = other_methods(draft.results)
    for with_labels, section in SECTIONS.items():
        for method in (s for s, note in others.items() if (LABELS in note) == with_labels):
            entries = [draft.quote(place.home, method, place.column) for place in places]
            cells = [Cell(method), *(Cell(number(e.reported, DIGITS)) for e in entries)]
            lines.append(Line(section, cells, [], best=not with_labels))
    return lines


def _lines_of_ours(draft: Draft, places: Sequence[Place]) -> list[Line]:
    lines = []
    for ours in _ours(draft.results):
        entries = [
            draft.measure(p.home, ours.strategies[p.home], p.column._replace(score=ours.score))
            if p.home in ours.strategies
            else None
            for p in places
        ]
        cells = [Cell(ours.title), *(measured(entry, DIGITS) for entry in entries)]
        below = [reported(entry, DIGITS) if entry else Cell("") for entry in entries]
        lines.append(Line("Ours", cells, [REPORTED_ROW, *below]))
    return lines


def _subject(results: Results, homes: Sequence[str]) -> str:
    strategies = {strategy for home in homes for strategy in results.strategies(home)}
    if strategies - {NO_NEGATIVES}:
        return "AUROC of OOD detection with negative samples; in-distribution:"
    return "AUROC of detecting abnormal images; in-distribution: normal images of"


def _best_note(lines: Sequence[Line]) -> str:
    aside = ["methods with labels"] * any(line.section == WITH_LABELS for line in lines)
    shown = any(not is_empty(line.below[1:]) for line in lines)
    aside += ["the reported values of our own"] * shown
    return "Bold: best of the column" + (f", {' and '.join(aside)} aside." if aside else ".")


def _places(results: Results, homes: Sequence[str]) -> list[Place]:
    pooled, places = results.options.get("pooled", False), []
    for home in homes:
        sets = results.ood_sets(home)
        for ood in [*sets, *[POOLED] * (pooled and len(sets) > 1)]:
            title = results.title("datasets", ood)
            places.append(Place(home, Column(title, ood=ood, unit="fraction")))
    return places


def _ours(results: Results) -> list[Ours]:
    """Our rows: the first strategy of every dataset, then the second, each with all scores."""
    named = {home: results.strategies(home) for home in results.in_distributions()}
    most = max(map(len, named.values()), default=0)
    rows = []
    for i in range(most):
        strategies = {home: names[i] for home, names in named.items() if i < len(names)}
        words = dict.fromkeys(results.title("strategies", s) for s in strategies.values())
        title = f"Ours, {' / '.join(words)}" if most > 1 else "Ours"
        for score in results.scores:
            words = f", {score_title(score)}" if len(results.scores) > 1 else ""
            rows.append(Ours(title + words, score, strategies))
    return rows


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
