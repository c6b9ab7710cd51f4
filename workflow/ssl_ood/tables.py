"""The tables of chapter 6: measured values over seeds beside the thesis's reported ones.

    ssl_ood table table_negative_sampling --spec SPEC.json --metrics results/metrics/*.csv \\
        --reported resources/reported --output results/tables/table_negative_sampling

A table is a function of `Results` in `TABLES`. Shares are printed in percent, as in the thesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssl_ood.errors import UserError
from ssl_ood.measurements import NO_NEGATIVES, Results, Summary, load_results
from ssl_ood.table_formats import Cell, Table, embolden, measured_cell, number, signed, write_table

# OOD sets that share classes with an in-distribution set: its AUROC cannot reach 1.
OVERLAPS = {
    "cifar10": ("9 of the 10 classes of {} also occur in {}", ("stl10",)),
    "cifar100": ("classes of {} also occur in {}", ("imagenet30", "tinyimagenet", "places365")),
}
MARKS = ("*", "†", "‡", "§")
PHOTOGRAPHS = (
    "The average without photographs leaves out {names}: cut from photographs, as the auxiliary "
    "negatives are, so that telling photographs from {in_distribution} is enough to flag them."
)
IN_DISTRIBUTION = "in_distribution"  # the source of a strategy that means the run's own dataset


def make_table(
    spec: dict[str, Any], metrics: Sequence[Path], reported_dir: Path, prefix: Path
) -> None:
    """Writes the table `spec["name"]` to prefix.csv, .md and .tex.

    metrics: csv files of the runs. Raises UserError for a name that is no table.
    """
    from ssl_ood.claims import claims_table
    from ssl_ood.tables_quality import hyperparameters_table, quality_table

    tables: dict[str, Callable[[Results, Path], Table]] = {
        "table_ood_auroc": ood_auroc_table,
        "table_negative_sampling": negative_sampling_table,
        "table_quality": quality_table,
        "table_hyperparameters": hyperparameters_table,
        "table_claims": claims_table,
    }
    name = spec["name"]
    if name not in tables:
        raise UserError(f"There is no table {name!r}: the tables are {', '.join(tables)}.")
    results = load_results(spec, metrics, reported_dir)
    write_table(tables[name](results, reported_dir), prefix)


def record(
    results: Results,
    in_distribution: str,
    ood: str,
    method: str,
    summary: Summary | None,
    reported: float | None = None,
    *,
    variant: str = "base",
    metric: str = "auroc",
    unit: str = "percent",
    score: str | None = None,
    tau: float | None = None,
) -> dict[str, Any]:
    """A row of a table's csv file. method: a strategy of ours, or another method's name."""
    both = summary is not None and reported is not None
    return {
        "in_distribution": in_distribution,
        "ood": ood,
        "method": method,
        "variant": variant,
        "score": results.score if score is None else score,
        "tau": results.tau if score is None else tau,
        "metric": metric,
        "unit": unit,
        "measured": summary and summary.mean,
        "spread": summary and summary.spread,
        "n_seeds": summary.n if summary else 0,
        "ci_low": summary and summary.low,
        "ci_high": summary and summary.high,
        "interval_over": summary and summary.over,
        "reported": reported,
        "difference": summary.mean - reported if both else None,
        "runs": ";".join(summary.runs) if summary else "",
    }


def percent(summary: Summary | None) -> Summary | None:
    """A share as a percentage."""
    return summary and summary.scaled(100)


def score_words(results: Results) -> str:
    """How the caption names the score shown."""
    return f"score {results.score}" + (f", τ = {results.tau:g}" if results.tau else "")


def seeds_note(summaries: Sequence[Summary | None], results: Results) -> str:
    """What ± and the csv file's intervals are."""
    counts = {s.n for s in summaries if s is not None}
    level = f"{100 * results.confidence:g} %"
    if not counts:
        return "Nothing has been measured yet."
    if counts == {1}:
        return f"One seed; the csv file has {level} intervals over images (DeLong)."
    seeds = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return (
        f"Mean ± standard deviation over {seeds} seeds; the csv file has {level} intervals "
        "(Student) of the mean over seeds."
    )


def overlap_notes(results: Results, homes: Sequence[str]) -> list[str]:
    """A note on OOD sets that share classes with the in-distribution set."""
    notes = []
    for home in homes:
        words, names = OVERLAPS.get(home, ("", ()))
        shown = [results.title("datasets", s) for s in results.ood_sets(home) if s in names]
        if shown:
            notes.append(words.format(results.title("datasets", home), ", ".join(shown)))
    return [f"Class overlap: {'; '.join(notes)}. Evaluated all the same."] if notes else []


def photographs_note(results: Results, in_distribution: str) -> list[str]:
    """The note under a table that shows the average without photographs."""
    if len(results.averages(in_distribution)) < 2:
        return []
    sets = [s for s in results.ood_sets(in_distribution) if s in results.spec["photographs"]]
    names = ", ".join(results.title("datasets", s) for s in sets)
    home = results.title("datasets", in_distribution)
    return [PHOTOGRAPHS.format(names=names, in_distribution=home)]


def reported_value(
    results: Results, artefact: str | None, train: str, ood: str, method: str
) -> float | None:
    """A number printed in the thesis; None where there is none or none is to be shown."""
    found = results.reported.get((artefact or "", train, ood, method))
    return found["value"] if found else None


def ood_auroc_table(results: Results, _: Path) -> Table:
    """Table 6.1: AUROC of ours beside the reported values of other methods."""
    artefact = results.options.get("reported")
    homes = results.in_distributions()
    ours = list(dict.fromkeys(s for home in homes for s in results.strategies(home)))
    others, notes = _other_methods(results, artefact, ours)
    shows_reported = bool(results.reported)
    per_strategy = ["measured", "reported", "Δ"] if shows_reported else ["AUROC"]
    header = ["In-distribution", "OOD set", *others.values(), *per_strategy * len(ours)]
    groups = [("", 2)] + ([("Reported", len(others))] if others else [])
    groups += [(results.title("strategies", s), len(per_strategy)) for s in ours]
    first_measured = 2 + len(others)
    candidates = [*range(2, first_measured)]
    candidates += [first_measured + i * len(per_strategy) for i in range(len(ours))]
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        for i, ood in enumerate(results.ood_sets(home)):
            cells = [Cell(results.title("datasets", home) if i == 0 else ""),
                     Cell(results.title("datasets", ood))]  # fmt: skip
            for method in others:
                value = reported_value(results, artefact, home, ood, method)
                cells.append(Cell(number(value)))
                if value is not None:
                    records.append(
                        record(results, home, ood, method, None, value, variant="", score="")
                    )
            for strategy in ours:
                summary = percent(results.summary(home, strategy, ood=ood))
                value = reported_value(results, artefact, home, ood, strategy)
                cells.append(measured_cell(summary))
                if shows_reported:
                    both = summary is not None and value is not None
                    difference = signed(summary.mean - value) if both else number(None)
                    cells += [Cell(number(value)), Cell(difference)]
                records.append(record(results, home, ood, strategy, summary, value))
                summaries.append(summary)
            rows.append(embolden(cells, candidates))
    best = "Bold: best of the row"
    best += ", the reported values of our own strategies aside." if shows_reported else "."
    notes = [seeds_note(summaries, results), best, *notes, *overlap_notes(results, homes)]
    caption = f"AUROC (%) of OOD detection without labels; {score_words(results)}."
    return Table("table_ood_auroc", caption, header, rows, records, groups, True,
                 frozenset(rules), notes, text_columns=2)  # fmt: skip


def _other_methods(results: Results, artefact: str | None, ours: Sequence[str]):
    """Titles with footnote marks of the other methods in a reported table, and the footnotes."""
    marks: dict[str, str] = {}
    titles: dict[str, str] = {}
    for (table, _, _, method), entry in results.reported.items():
        if table == artefact and method not in ours and not _is_strategy(results, method):
            note = entry["note"]
            if note and note not in marks:
                marks[note] = MARKS[len(marks)]
            titles[method] = method + marks.get(note, "")
    return titles, [f"{mark} {note[0].upper()}{note[1:]}." for note, mark in marks.items()]


def _is_strategy(results: Results, name: str) -> bool:
    return name in results.spec.get("titles", {}).get("strategies", {})


def negative_sampling_table(results: Results, _: Path) -> Table:
    """Table 6.2: AUROC by negative strategy, a row an OOD set and their average."""
    artefact = results.options.get("reported")
    homes = results.in_distributions()
    several = len(homes) > 1
    strategies = list(dict.fromkeys(s for home in homes for s in results.strategies(home)))
    strategies, groups = grouped_by_source(results, strategies)
    header = ["In-distribution"] * several + ["OOD set"]
    header += [results.title("strategies", s) for s in strategies]
    groups = [("", 1 + several), *groups] if groups else []
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        sets = results.ood_sets(home)
        for i, ood in enumerate([*sets, *results.averages(home)]):
            rules += [len(rows)] * (i == len(sets))
            lead = [Cell(results.title("datasets", home) if i == 0 else "")] * several
            cells = [*lead, Cell(results.title("datasets", ood))]
            below = [Cell("")] * several + [Cell("  reported (Δ)", aside=True)]
            for strategy in strategies:
                summary = percent(results.summary(home, strategy, ood=ood))
                value = reported_value(results, artefact, home, ood, strategy)
                cells.append(measured_cell(summary))
                delta = f" ({signed(summary.mean - value)})" if summary and value else ""
                below.append(Cell(number(value), delta, aside=True))
                records.append(record(results, home, ood, strategy, summary, value))
                summaries.append(summary)
            rows.append(embolden(cells, range(1 + several, len(cells))))
            if any(cell.value != "—" for cell in below[1 + several :]):
                rows.append(below)
    notes = [seeds_note(summaries, results), "Bold: best of the row."]
    notes += [note for home in homes for note in photographs_note(results, home)]
    notes += overlap_notes(results, homes)
    titles = " and ".join(results.title("datasets", home) for home in homes)
    caption = (
        f"AUROC (%) of OOD detection with {titles} as in-distribution and different negative "
        f"samples; {score_words(results)}."
    )
    return Table("table_negative_sampling", caption, header, rows, records, groups, False,
                 frozenset(rules), notes, text_columns=1 + several)  # fmt: skip


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
