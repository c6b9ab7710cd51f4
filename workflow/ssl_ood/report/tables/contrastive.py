"""The ablations of chapter 5: a row a variant; and the label efficiency of its figure 5.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, POOLED
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Titled
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import (
    REPORTED_ROW,
    Column,
    Entry,
    best_in_columns,
    difference,
    is_empty,
    measure,
    reported_cell,
    score_notes,
    seeds_note,
    titles_of,
)
from ssl_ood.report.writers import embolden, measured_cell, number

LABELS = "labels_"  # the part of a variant that tells the number of labels: labels_100, labels_all
ALL = "all"


@register(
    "table",
    "batch_size",
    title="Batch sizes",
    notes="AUROC by the batch size of the variants (paper of 5.2, table 3).",
    needs={"measurements"},
    settings=Titled,
)
def batch_size_table(results: Results) -> Table:
    """Table 3 of the paper of section 5.2: the variants by their batch size, the largest first."""
    sizes = {r["variant"]: r["training"]["batch_size"] for r in results.spec["runs"]}
    variants = sorted(sizes, key=lambda v: -sizes[v])
    lead = {variant: str(sizes[variant]) for variant in variants}
    caption = "Effect of the batch size: AUROC with {homes} as in-distribution."
    return _variants_table(results, "Batch size", lead, _ood_columns(results), caption)


@register(
    "table",
    "augmentation",
    title="Augmentations",
    notes="AUROC with one augmentation weakened at a time (paper of 5.2, table 4).",
    needs={"measurements"},
    settings=Titled,
)
def augmentation_table(results: Results) -> Table:
    """Table 4 of the paper of section 5.2: one augmentation weakened at a time, and none."""
    caption = (
        "Effect of the augmentations, each weakened alone: AUROC with {homes} as in-distribution."
    )
    return _variants_table(
        results, "Augmentation", _titles(results), _ood_columns(results), caption
    )


@register(
    "table",
    "pretraining",
    title="Pretraining",
    notes="k-NN accuracy by the initialisation of the network (paper of 5.2).",
    needs={"measurements"},
    settings=Titled,
)
def pretraining_table(results: Results) -> Table:
    """Section 4.2 of the paper of 5.2: nearest-neighbour accuracy of models trained unlabelled."""
    title = f"{results.spec['evaluation']['knn']}-NN accuracy"
    columns = [Column(title, "knn_accuracy", unit="percent")]
    caption = (
        f"{title} (%) of {{homes}} with models trained without labels, by their initialisation."
    )
    return _variants_table(results, "Initialisation", _titles(results), columns, caption, "Wilson")


def _ood_columns(results: Results) -> list[Column]:
    sets = list(dict.fromkeys(o for h in results.in_distributions() for o in results.ood_sets(h)))
    together = any(len(results.ood_sets(home)) > 1 for home in results.in_distributions())
    return [
        Column(results.title("datasets", ood), ood=ood, unit="fraction")
        for ood in [*sets, *[POOLED] * together]
    ]


def _titles(results: Results) -> dict[str, str]:
    """Variants of the runs, the base last as what the others differ from."""
    variants = dict.fromkeys(run["variant"] for run in results.spec["runs"])
    ordered = [v for v in variants if v != BASE] + [BASE] * (BASE in variants)
    return {variant: variant_title(results, variant) for variant in ordered}


def variant_title(results: Results, variant: str) -> str:
    """Option `titles` of the target, else `titles.variants`; of a composition, of its parts."""
    own = results.options.get("titles", {})
    title = own.get(variant, results.title("variants", variant))
    if title != variant:
        return title
    if "+" in variant:
        return ", ".join(variant_title(results, part) for part in variant.split("+"))
    return "Base" if variant == BASE else variant


def _variants_table(
    results: Results,
    lead: str,
    titles: dict[str, str],
    columns: Sequence[Column],
    caption: str,
    over_images: str = "DeLong",
) -> Table:
    """titles: what is printed for each variant, in order. Every row is of strategy `none`."""
    homes = results.in_distributions()
    several = len(homes) > 1
    table: list[list[Entry]] = []
    leads, rules = [], []
    for home in homes:
        rules += [len(table)] * bool(table)
        variants = results.variants(home, NO_NEGATIVES)
        for i, variant in enumerate(v for v in titles if v in variants):
            first = [Cell(results.title("datasets", home) if i == 0 else "")] * several
            leads.append([*first, Cell(titles[variant])])
            table.append([measure(results, home, NO_NEGATIVES, c, variant) for c in columns])
    compared = [any(row[j].reported is not None for row in table) for j in range(len(columns))]
    lines = []
    for first, entries in zip(leads, table, strict=True):
        cells = list(first)
        for column, entry, shows in zip(columns, entries, compared, strict=True):
            cells.append(measured_cell(entry.summary, column.digits, entry.status))
            if shows:
                cells += [
                    Cell(number(entry.reported, column.digits)),
                    Cell(difference(entry, column.digits)),
                ]
        lines.append(cells)
    header = ["In-distribution"] * several + [lead]
    groups, bold = [("", len(header))], []
    for column, shows in zip(columns, compared, strict=True):
        bold.append(len(header))
        header += ["measured", "reported", "Δ"] if shows else [_title(column, any(compared))]
        groups.append((column.title, 3 if shows else 1))
    for first, last in zip([0, *rules], [*rules, len(lines)], strict=True):
        best_in_columns(lines, bold, range(first, last))
    entries = [entry for row in table for entry in row]
    notes = [
        seeds_note((e.summary for e in entries), results, over_images),
        "Bold: best of the column.",
    ]
    if any(column.ood for column in columns):
        notes += score_notes([results.score])
    if any(column.ood == POOLED for column in columns):
        notes.append("All: the union of the OOD sets.")
    return Table(
        results.spec["name"],
        caption.format(homes=titles_of(results, "datasets", homes)),
        header,
        lines,
        [e.record for e in entries],
        groups if any(compared) else [],
        any(compared),
        frozenset(rules),
        notes,
        text_columns=1 + several,
    )


def _title(column: Column, grouped: bool) -> str:
    """Under a group of its own title a lone column says only that it is measured."""
    return "measured" if grouped else column.title


class Point(NamedTuple):
    """A fine-tuned model: how it was initialised, and with how many labels (as in its name)."""

    variant: str
    initialisation: str
    labels: str


def fine_tuned(results: Results, home: str) -> list[Point]:
    """The variants of the runs as points; fewest labels first, `all` last."""
    found = [_point(variant) for variant in results.variants(home, NO_NEGATIVES)]
    return sorted(found, key=lambda p: (p.labels == ALL, int(p.labels) if p.labels != ALL else 0))


def _point(variant: str) -> Point:
    parts = variant.split("+")
    labels = [part.removeprefix(LABELS) for part in parts if part.startswith(LABELS)]
    others = [part for part in parts if not part.startswith(LABELS)]
    return Point(variant, "+".join(others) or BASE, labels[0] if labels else ALL)


def initialisations(results: Results) -> list[str]:
    """Those of the runs, in the order of the config."""
    return list(
        dict.fromkeys(_point(run["variant"]).initialisation for run in results.spec["runs"])
    )


def abnormal_column(results: Results, home: str) -> Column:
    """AUROC in percent against the OOD set, or the union of them."""
    sets = results.ood_sets(home)
    return Column("AUROC", ood=sets[0] if len(sets) == 1 else POOLED)


def training_images(results: Results, home: str) -> int | None:
    """How many labelled images `all` are, where the spec tells: `train_counts: {dataset: n}`."""
    return results.spec.get("train_counts", {}).get(home)


@register(
    "table",
    "label_efficiency",
    title="Label efficiency",
    notes="AUROC after fine-tuning, one row per number of labels (figure 5.3).",
    needs={"measurements"},
    settings=Titled,
)
def label_efficiency_table(results: Results) -> Table:
    """Figure 5.3 as a table: a row a number of labels, a column an initialisation."""
    homes = results.in_distributions()
    several = len(homes) > 1
    points = {home: fine_tuned(results, home) for home in homes}
    names = initialisations(results)
    first = 1 + several
    rows, records, rules, summaries = [], [], [], []
    for home in homes:
        rules += [len(rows)] * bool(rows)
        column = abnormal_column(results, home)
        for i, labels in enumerate(dict.fromkeys(p.labels for p in points[home])):
            lead = [Cell(results.title("datasets", home) if i == 0 else "")] * several
            cells = [*lead, Cell(_labels_title(labels, training_images(results, home)))]
            below = [*[Cell("")] * several, REPORTED_ROW]
            here = {p.initialisation: p.variant for p in points[home] if p.labels == labels}
            for name in names:
                if name not in here:
                    cells.append(measured_cell(None))
                    below.append(Cell(""))
                    continue
                found = measure(results, home, NO_NEGATIVES, column, here[name])
                cells.append(measured_cell(found.summary, column.digits, found.status))
                below.append(reported_cell(found, column.digits))
                records.append(found.record | {"initialisation": name, "labels": labels})
                summaries.append(found.summary)
            rows.append(embolden(cells, range(first, len(cells))))
            if not is_empty(below[first:]):
                rows.append(below)
    header = ["In-distribution"] * several + ["Labelled images"]
    header += [variant_title(results, name) for name in names]
    groups = [("", first), ("Initialisation", len(names))]
    titles = titles_of(results, "datasets", homes)
    caption = (
        f"AUROC (%) of telling abnormal from normal images of {titles} after fine-tuning with few "
        "labels, by the initialisation of the network."
    )
    notes = [seeds_note(summaries, results), "Bold: best of the row."]
    notes += score_notes([results.score])
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
        text_columns=first,
    )


def _labels_title(labels: str, count: int | None) -> str:
    if labels != ALL:
        return f"{int(labels):,}"
    return ALL if count is None else f"{count:,} ({ALL})"
