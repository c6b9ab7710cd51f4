"""What the tables of every chapter are put together from: entries, their records, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import BASE, IN_DISTRIBUTION, NO_NEGATIVES, SEEDS, UNTRAINED
from ssl_ood.evaluation.measurements import MEASURED
from ssl_ood.report.layout import Cell
from ssl_ood.report.results import SCALES, SCORED, ReportedKey, Results, Summary
from ssl_ood.report.writers import MISSING, embolden, number, signed

DIGITS = {"fraction": 3, "percent": 2, "nats": 2, "count": 0}  # printed; csv files have all
PHOTOGRAPHS = (
    "The average without photographs leaves out {names}: cut from photographs, as the auxiliary "
    "negatives are, so that telling photographs from {in_distribution} is enough to flag them."
)


OURS = "ours"  # the system of measured rows; quoted rows name another
QUOTED = "quoted"


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
    what = {"variant": variant, "metric": column.metric, "ood": column.ood}
    score = column.score or results.score if column.metric in SCORED else ""
    if score:
        what["score"] = score
    summary = in_unit(results.summary(home, strategy, **what), column.unit)
    reported = reported_value(results, home, strategy, column, variant)
    status = results.status(home, strategy, **what)
    row = record(
        results,
        home,
        column.ood,
        strategy,
        summary,
        reported,
        variant=variant,
        metric=column.metric,
        unit=column.unit,
        score=score,
        tau=results.tau_of(score),
        status=status,
    )
    return Entry(summary, reported, row, status)


def in_unit(summary: Summary | None, unit: str) -> Summary | None:
    """A share in percent or as the fraction that it is; other units as they were measured."""
    return summary and summary.scaled(SCALES.get(unit, 1.0))


def artefacts(results: Results) -> list[str]:
    """Option `reported`: the table of the thesis, or several, of which the first that has a value.

    Empty where no value of the thesis is to be shown.
    """
    named = results.options.get("reported") or []
    return [named] if isinstance(named, str) else list(named)


def reported_value(
    results: Results, home: str, method: str, column: Column, variant: str = BASE
) -> float | None:
    """A number printed in the thesis, in the column's unit; None where there is none to show.

    variant: empty for a method that is not ours, which has one value whatever our score.
    """
    score = column.score or results.score if variant and column.metric in SCORED else ""
    for artefact in artefacts(results):
        key = ReportedKey(artefact, home, column.ood, method, variant, column.metric, score)
        if key in results.reported:
            return results.reported[key].in_unit(column.unit)
    return None


def other_methods(results: Results) -> dict[str, str]:
    """The methods of the thesis's table that are not ours, with what is said of them."""
    shown = artefacts(results)
    return {
        key.method: entry.note
        for key, entry in results.reported.items()
        if key.artefact in shown and not key.ours
    }


def record(
    results: Results,
    in_distribution: str,
    ood: str,
    method: str,
    summary: Summary | None,
    reported: float | None = None,
    *,
    variant: str = BASE,
    metric: str = "auroc",
    unit: str = "percent",
    score: str | None = None,
    tau: float | None = None,
    status: str = MEASURED,
) -> dict[str, Any]:
    """A row of a table's csv file. method: a strategy of ours, or another system's name, which has
    no variant."""
    both = summary is not None and reported is not None
    over = summary and (results.repeats if summary.over == SEEDS else summary.over)
    return {
        "in_distribution": in_distribution,
        "dataset": ood,
        "system": OURS if variant else method,
        "method": results.training_method(in_distribution, method) if variant else "",
        "strategy": method if variant else "",
        "variant": variant,
        "score": results.score if score is None else score,
        "temperature": results.tau if score is None else tau,
        "metric": metric,
        "unit": unit,
        "measured": summary and summary.mean,
        "spread": summary and summary.spread,
        "low": summary and summary.low,
        "high": summary and summary.high,
        "over": over,
        "n": summary.n if summary else 0,
        "status": status if variant else QUOTED,
        "reported": reported,
        "difference": summary.mean - reported if both else None,
        "runs": ";".join(summary.runs) if summary else "",
    }


def reported_record(
    results: Results, home: str, column: Column, method: str, value: float
) -> dict[str, Any]:
    """The row of another method's value, which is of no score or run of ours."""
    return record(
        results,
        home,
        column.ood,
        method,
        None,
        value,
        variant="",
        score="",
        metric=column.metric,
        unit=column.unit,
    )


def difference(entry: Entry, digits: int) -> str:
    """Measured minus reported with its sign; a dash where one of the two is missing."""
    if entry.summary is None or entry.reported is None:
        return MISSING
    return signed(entry.summary.mean - entry.reported, digits)


def reported_cell(entry: Entry, digits: int) -> Cell:
    """`90.29 (+0.71)`: what the thesis prints and the difference, for the row below."""
    delta = difference(entry, digits)
    return Cell(
        number(entry.reported, digits), "" if delta == MISSING else f" ({delta})", aside=True
    )


REPORTED_ROW = Cell("  reported (Δ)", aside=True)


def is_empty(cells: Iterable[Cell]) -> bool:
    """Whether a row has nothing but missing values: such a row is not printed."""
    return all(cell.value in ("", MISSING) for cell in cells)


def best_in_columns(
    lines: list[list[Cell]], columns: Iterable[int], candidates: Sequence[int]
) -> None:
    """Sets the best of each column in bold, in place. candidates: the lines that count."""
    for column in columns:
        cells = embolden([line[column] for line in lines], candidates)
        for line, cell in zip(lines, cells, strict=True):
            line[column] = cell


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
    told = {e.title: e.notes for e in (lookup("score", score) for score in scores) if e.notes}
    texts = [f"{title}: {words}" for title, words in told.items()]
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
    told = results.spec.get("strategies")
    if not told or not set(strategies) <= set(told):
        return list(strategies), []

    def group(strategy: str) -> str:
        own = [pair["source"] == IN_DISTRIBUTION for pair in told[strategy]]
        if strategy == NO_NEGATIVES or not own:
            return "No negatives"
        return "In-dist." if all(own) else "Both" if any(own) else "Auxiliary"

    names = ["No negatives", "Auxiliary", "In-dist.", "Both"]
    ordered = sorted(strategies, key=lambda s: names.index(group(s)))
    counts = [(name, sum(group(s) == name for s in strategies)) for name in names]
    return ordered, [(name, n) for name, n in counts if n]


def photographs_note(results: Results, in_distribution: str) -> list[str]:
    """The note under a table that shows the average without photographs."""
    if len(results.averages(in_distribution)) < 2:
        return []
    sets = [s for s in results.ood_sets(in_distribution) if s in results.spec["photographs"]]
    names = ", ".join(results.title("datasets", s) for s in sets)
    home = results.title("datasets", in_distribution)
    return [PHOTOGRAPHS.format(names=names, in_distribution=home)]
