"""What the tables of every chapter are put together from: entries, their records, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import BASE, IN_DISTRIBUTION, NO_NEGATIVES, SEEDS, UNTRAINED
from ssl_ood.report.reported import QUOTED, SCALES, ReportedKey
from ssl_ood.report.results import SCORED, Results, Summary

DIGITS = {"fraction": 3, "percent": 2, "nats": 2, "count": 0}  # printed; csv files have all
PHOTOGRAPHS = (
    "The average without photographs leaves out {names}: cut from photographs, as the auxiliary "
    "negatives are, so that telling photographs from {in_distribution} is enough to flag them."
)


OURS = "ours"  # the system of measured rows; quoted rows name another


class Column(NamedTuple):
    """What is measured of a model, and how it is printed. score: that of the table by default."""

    title: str
    metric: str = "auroc"
    ood: str = ""
    unit: str = "percent"
    score: str | None = None
    best: bool = True  # larger is better, so the largest is bold

    @property
    def digits(self) -> int:
        return DIGITS[self.unit]


class Entry(NamedTuple):
    """A measurement in its column's unit, the thesis's value of the same, and both as a record."""

    summary: Summary | None
    reported: float | None
    record: dict[str, Any]
    status: str  # of `ssl_ood.evaluation.measurements.STATUSES`, or not_run


def measure(
    results: Results, home: str, strategy: str, column: Column, variant: str = BASE
) -> Entry:
    """The entry of a model; the value of the thesis is looked up in option `reported`."""
    score = column.score or results.score if column.metric in SCORED else ""
    what = {"variant": variant, "metric": column.metric, "ood": column.ood}
    what |= {"score": score} if score else {}
    summary = in_unit(results.summary(home, strategy, **what), column.unit)
    key = ReportedKey("", home, column.ood, strategy, variant, "", column.metric, score)
    identity = {
        "in_distribution": home,
        "dataset": column.ood,
        "system": OURS,
        "method": results.training_method(home, strategy),
        "strategy": strategy,
        "variant": variant,
        "score": score,
        "temperature": results.tau_of(score),
        "metric": column.metric,
        "unit": column.unit,
    }
    status = results.status(home, strategy, **what)
    return entry_of(results, identity, status, summary, _reported(results, key, column.unit))


def quote(results: Results, home: str, system: str, column: Column) -> Entry:
    """What the thesis prints of another system, which is of no score or run of ours."""
    key = ReportedKey("", home, column.ood, system=system, metric=column.metric)
    identity = {"in_distribution": home, "dataset": column.ood, "system": system}
    identity |= {"metric": column.metric, "unit": column.unit}
    return entry_of(results, identity, QUOTED, None, _reported(results, key, column.unit))


def _reported(results: Results, key: ReportedKey, unit: str) -> float | None:
    """A number printed in the thesis, in a unit; None where there is none to show.

    key: without the artefact, which option `reported` names.
    """
    for artefact in artefacts(results):
        value = results.reported.get(key._replace(artefact=artefact))
        if value is not None:
            return value.in_unit(unit)
    return None


# Columns of a table's csv file that say what a row is of.
IDENTITY = (
    "in_distribution",
    "dataset",
    "system",
    "method",
    "strategy",
    "variant",
    "score",
    "temperature",
    "metric",
    "unit",
)


def entry_of(
    results: Results,
    identity: dict[str, Any],
    status: str,
    summary: Summary | None,
    reported: float | None = None,
) -> Entry:
    """An entry with its row of the table's csv file. identity: of the columns `IDENTITY`."""
    both = summary is not None and reported is not None
    record = {
        **dict.fromkeys(IDENTITY, ""),
        **identity,
        "measured": summary and summary.mean,
        "spread": summary and summary.spread,
        "low": summary and summary.low,
        "high": summary and summary.high,
        "over": summary and (results.repeats if summary.over == SEEDS else summary.over),
        "n": summary.n if summary else 0,
        "status": status,
        "reported": reported,
        "difference": summary.mean - reported if both else None,
        "runs": ";".join(summary.runs) if summary else "",
    }
    return Entry(summary, reported, record, status)


def in_unit(summary: Summary | None, unit: str) -> Summary | None:
    """A share in percent or as the fraction that it is; other units as they were measured."""
    return summary and summary.scaled(SCALES.get(unit, 1.0))


def artefacts(results: Results) -> list[str]:
    """Option `reported`: the table of the thesis, or several, of which the first that has a value.

    Empty where no value of the thesis is to be shown.
    """
    named = results.options.get("reported") or []
    return [named] if isinstance(named, str) else list(named)


def other_methods(results: Results) -> dict[str, str]:
    """The methods of the thesis's table that are not ours, with what is said of them."""
    shown = artefacts(results)
    return {
        key.system: value.note
        for key, value in results.reported.items()
        if key.artefact in shown and not key.ours
    }


def model_title(results: Results, strategy: str, variant: str) -> str:
    """Title of a strategy, or of the variant where that is not the base."""
    if variant == BASE:
        return results.title("strategies", strategy)
    title = results.title("variants", variant)
    if variant == UNTRAINED:
        return "Untrained network" if title == UNTRAINED else title
    return f"{results.title('strategies', strategy)}, {title}"


def score_words(results: Results) -> str:
    """How the caption names the score shown."""
    return f"score {results.score}" + (f", τ = {results.tau:g}" if results.tau else "")


def score_title(score: str) -> str:
    """A score in a word or two, for a cell."""
    return lookup("score", score).title


def score_notes(scores: Iterable[str]) -> list[str]:
    """What the words for the scores mean."""
    entries = [lookup("score", score) for score in scores]
    texts = [f"{entry.title}: {entry.notes}" for entry in entries if entry.notes]
    return [f"Scores of the AUROC: {'; '.join(texts)}."] if texts else []


def titles_of(results: Results, kind: str, names: Iterable[str]) -> str:
    """`CIFAR-10, CIFAR-100 and SVHN`."""
    *first, last = [results.title(kind, name) for name in names] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def seeds_note(
    summaries: Iterable[Summary | None], results: Results, over_images: str = "DeLong"
) -> str:
    """What ± and the csv file's intervals are. over_images: the method of those over images."""
    counts = {s.n for s in summaries if s is not None}
    level = f"{100 * results.confidence:g} %"
    repeats = results.repeats
    if not counts:
        return "Nothing has been measured yet."
    if counts == {1}:
        one = repeats.removesuffix("s")
        return f"One {one}; the csv file has {level} intervals over images ({over_images})."
    n = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return (
        f"Mean ± standard deviation over {n} {repeats}; the csv file has {level} intervals "
        f"(Student) of the mean over {repeats}."
    )


def grouped_by_source(
    results: Results, strategies: Sequence[str]
) -> tuple[list[str], list[tuple[str, int]]]:
    """Strategies in order of where their negatives come from, with the groups over the columns.

    Groups are known only where the spec tells the sources: `strategies: {name: [{source, ...}]}`.
    """
    pairs = results.spec.get("strategies")
    if not pairs or not set(strategies) <= set(pairs):
        return list(strategies), []

    def group(strategy: str) -> str:
        own = [pair["source"] == IN_DISTRIBUTION for pair in pairs[strategy]]
        if strategy == NO_NEGATIVES or not own:
            return "No negatives"
        return "In-dist." if all(own) else "Both" if any(own) else "Auxiliary"

    names = ["No negatives", "Auxiliary", "In-dist.", "Both"]
    ordered = sorted(strategies, key=lambda s: names.index(group(s)))
    counts = [(name, sum(group(s) == name for s in strategies)) for name in names]
    return ordered, [(name, n) for name, n in counts if n]


def photographs_notes(results: Results, homes: Iterable[str]) -> list[str]:
    """The notes under a table that shows averages without photographs."""
    notes = []
    for home in homes:
        if len(results.averages(home)) > 1:
            sets = [s for s in results.ood_sets(home) if s in results.spec["photographs"]]
            names = ", ".join(results.title("datasets", s) for s in sets)
            title = results.title("datasets", home)
            notes.append(PHOTOGRAPHS.format(names=names, in_distribution=title))
    return notes
