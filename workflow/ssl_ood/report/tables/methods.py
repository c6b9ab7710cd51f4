"""Tables 5.2, 7.1 and 7.2: other methods as they were reported, then ours, a column an OOD set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from ssl_ood.common.registry import register
from ssl_ood.common.settings import Many
from ssl_ood.common.vocabulary import NO_NEGATIVES, POOLED
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Beside
from ssl_ood.report.results import NOT_RUN, Results
from ssl_ood.report.table_parts import (
    REPORTED_ROW,
    Column,
    best_in_columns,
    is_empty,
    measure,
    other_methods,
    reported_cell,
    reported_record,
    reported_value,
    score_notes,
    score_title,
    seeds_note,
    titles_of,
)
from ssl_ood.report.writers import measured_cell, number

LABELS = "labels"  # in the note of a reported method that uses labels
WITH_LABELS, WITHOUT_LABELS = "With labels", "Without labels, trained on normal images"


class Place(NamedTuple):
    """A column: an OOD set of an in-distribution dataset."""

    home: str
    column: Column


class Ours(NamedTuple):
    """A row of ours: a score, and the strategy on each dataset."""

    title: str
    score: str
    strategies: dict[str, str]


MEDICAL_CAPTION = "AUROC of OOD detection with negative samples; in-distribution: {homes}."


class MethodsOptions(Beside):
    """Options of the table of methods."""

    scores: Many[str] | None = Field(None, description="its scores; without it all of the study")
    pooled: bool = Field(False, description="whether all OOD images at once are a column, too")


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
    """Tables 5.2, 7.1 and 7.2: other methods with and without labels, then ours."""
    pooled = results.options.get("pooled", False)
    caption = "AUROC of detecting abnormal images; in-distribution: normal images of {homes}."
    return _methods_table(results, caption if pooled else MEDICAL_CAPTION, pooled=pooled)


def _methods_table(results: Results, caption: str, *, pooled: bool = False) -> Table:
    """pooled: a last column of each dataset for all of its OOD images at once."""
    homes = results.in_distributions()
    places = _places(results, homes, pooled)
    others = other_methods(results)
    lines, below, records, summaries, candidates = [], {}, [], [], []
    sections: dict[int, str] = {}
    for heading, with_labels in ((WITH_LABELS, True), (WITHOUT_LABELS, False)):
        methods = [m for m, note in others.items() if (LABELS in note) == with_labels]
        if methods:
            sections[len(lines)] = heading
        for method in methods:
            values = [reported_value(results, p.home, method, p.column, variant="") for p in places]
            candidates += [len(lines)] * (not with_labels)
            lines.append([Cell(method), *(Cell(number(v, 3)) for v in values)])
            records += [
                reported_record(results, place.home, place.column, method, value)
                for place, value in zip(places, values, strict=True)
                if value is not None
            ]
    first_of_ours = len(lines)
    for ours in _ours(results, homes):
        found = [
            measure(results, p.home, ours.strategies[p.home], p.column._replace(score=ours.score))
            if p.home in ours.strategies
            else None
            for p in places
        ]
        candidates.append(len(lines))
        below[len(lines)] = [reported_cell(e, 3) if e else Cell("") for e in found]
        lines.append(
            [
                Cell(ours.title),
                *(measured_cell(e and e.summary, 3, e.status if e else NOT_RUN) for e in found),
            ]
        )
        records += [e.record for e in found if e]
        summaries += [e.summary for e in found if e]
    best_in_columns(lines, range(1, 1 + len(places)), candidates)
    rows, rules = [], set()
    for i, line in enumerate(lines):
        if rows and (i in sections or i == first_of_ours):
            rules.add(len(rows))
        if i in sections:
            rows.append([Cell(sections[i]), *[Cell("")] * len(places)])
        rows.append(line)
        if not is_empty(below.get(i, [])):
            rows.append([REPORTED_ROW, *below[i]])
    aside = ["methods with labels"] * (WITH_LABELS in sections.values())
    aside += ["the reported values of our own"] * any(not is_empty(row) for row in below.values())
    best = "Bold: best of the column" + (f", {' and '.join(aside)} aside." if aside else ".")
    notes = [seeds_note(summaries, results), best, *score_notes(results.scores)]
    notes += ["All: the union of the OOD sets."] * any(p.column.ood == POOLED for p in places)
    notes += _strategy_note(results, homes)
    groups = [("", 1)]
    groups += [(results.title("datasets", h), sum(p.home == h for p in places)) for h in homes]
    header = ["Method", *(place.column.title for place in places)]
    caption = caption.format(homes=titles_of(results, "datasets", homes))
    several = len(homes) > 1
    return Table(
        results.spec["name"],
        caption,
        header,
        rows,
        records,
        groups if several else [],
        several,
        frozenset(rules),
        notes,
    )


def _places(results: Results, homes: Sequence[str], pooled: bool) -> list[Place]:
    places = []
    for home in homes:
        sets = results.ood_sets(home)
        for ood in [*sets, *[POOLED] * (pooled and len(sets) > 1)]:
            title = results.title("datasets", ood)
            places.append(Place(home, Column(title, ood=ood, unit="fraction")))
    return places


def _ours(results: Results, homes: Sequence[str]) -> list[Ours]:
    """Our rows: the first strategy of every dataset, then the second, each with all scores."""
    named = {home: results.strategies(home) for home in homes}
    rows = []
    for i in range(max((len(strategies) for strategies in named.values()), default=0)):
        chosen = {home: strategies[i] for home, strategies in named.items() if i < len(strategies)}
        title = "Ours"
        if max(map(len, named.values())) > 1:
            words = dict.fromkeys(results.title("strategies", s) for s in chosen.values())
            title += f", {' / '.join(words)}"
        scores = results.scores
        for score in scores:
            words = f", {score_title(score)}" if len(scores) > 1 else ""
            rows.append(Ours(title + words, score, chosen))
    return rows


def _strategy_note(results: Results, homes: Sequence[str]) -> list[str]:
    """Which negatives ours has on which dataset, where there are any and no row's title tells."""
    parts = []
    if any(len(results.strategies(home)) > 1 for home in homes):
        return []
    for home in homes:
        names = results.strategies(home)
        if set(names) - {NO_NEGATIVES}:
            words = ", ".join(results.title("strategies", s) for s in names)
            parts.append(f"{words} on {results.title('datasets', home)}")
    return [f"Negatives of ours: {'; '.join(parts)}."] if parts else []
