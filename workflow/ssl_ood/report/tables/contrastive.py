"""The ablations of chapter 5: one row per variant; and the label efficiency of its figure 5.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, JOIN, NO_NEGATIVES, POOLED
from ssl_ood.report.draft import (
    REPORTED_ROW,
    Draft,
    beside,
    best_in_columns,
    best_in_row,
    measured,
    reported,
)
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Titled
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import Column, score_notes, titles_of

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
    sizes = {run["variant"]: run["training"]["batch_size"] for run in results.spec["runs"]}
    titles = {v: str(sizes[v]) for v in sorted(sizes, key=lambda v: -sizes[v])}
    caption = "Effect of the batch size: AUROC with {homes} as in-distribution."
    return _variants_table(results, "Batch size", titles, caption)


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
    return _variants_table(results, "Augmentation", _titles(results), caption)


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
    caption = (
        f"{title} (%) of {{homes}} with models trained without labels, by their initialisation."
    )
    columns = [Column(title, "knn_accuracy")]
    return _variants_table(
        results, "Initialisation", _titles(results), caption, columns, over_images="Wilson"
    )


def _variants_table(
    results: Results,
    label: str,
    titles: dict[str, str],
    caption: str,
    columns: Sequence[Column] = (),
    over_images: str = "DeLong",
) -> Table:
    """One row per variant of the strategy `none`, the reported values beside.

    titles: what is printed for each variant, in order; columns: without them one per OOD set.
    """
    homes, columns = results.in_distributions(), columns or _ood_columns(results)
    draft = Draft(results, [label], show_home=len(homes) > 1)
    table = {
        (home, variant): [draft.measure(home, NO_NEGATIVES, c, variant) for c in columns]
        for home in homes
        for variant in titles
        if variant in results.variants(home, NO_NEGATIVES)
    }
    indices = range(len(columns))
    compared = [any(row[j].reported is not None for row in table.values()) for j in indices]
    header, groups, bold = [], [], []
    for column, compares in zip(columns, compared, strict=True):
        bold.append(1 + len(header))
        # Under a group of its own title a lone column says only that it is measured.
        lone = "measured" if any(compared) else column.title
        header += ["measured", "reported", "Δ"] if compares else [lone]
        groups.append((column.title, 3 if compares else 1))
    for home in homes:
        lines = []
        for (where, variant), entries in table.items():
            if where == home:
                lines.append([Cell(titles[variant])])
                for entry, column, compares in zip(entries, columns, compared, strict=True):
                    cells = beside(entry, column.digits)
                    lines[-1] += cells if compares else cells[:1]
        best_in_columns(lines, bold)
        for line in lines:
            draft.add(home, line)
    notes = ["Bold: best of the column."]
    notes += score_notes([results.score]) * any(column.ood for column in columns)
    notes += ["All: the union of the OOD sets."] * any(c.ood == POOLED for c in columns)
    return draft.table(
        caption.format(homes=titles_of(results, "datasets", homes)),
        header,
        notes,
        groups if any(compared) else [],
        groups_in_markdown=True,
        over_images=over_images,
    )


def _titles(results: Results) -> dict[str, str]:
    """Variants of the runs, the base last as what the others differ from."""
    names = dict.fromkeys(run["variant"] for run in results.spec["runs"])
    ordered = [v for v in names if v != BASE] + [BASE] * (BASE in names)
    return {variant: variant_title(results, variant) for variant in ordered}


def _ood_columns(results: Results) -> list[Column]:
    sets = [results.ood_sets(home) for home in results.in_distributions()]
    names = list(dict.fromkeys(ood for names in sets for ood in names))
    names += [POOLED] * any(len(names) > 1 for names in sets)
    return [Column(results.title("datasets", ood), ood=ood, unit="fraction") for ood in names]


def variant_title(results: Results, variant: str) -> str:
    """Option `titles` of the target, else `titles.variants`; of a composition, of its parts."""
    own = results.options.get("titles", {})
    title = own.get(variant, results.title("variants", variant))
    if title != variant:
        return title
    if JOIN in variant:
        return ", ".join(variant_title(results, part) for part in variant.split(JOIN))
    return "Base" if variant == BASE else variant


class Point(NamedTuple):
    """A fine-tuned model: how it was initialised, and with how many labels (as in its name)."""

    variant: str
    initialisation: str
    labels: str


def fine_tuned(results: Results, home: str) -> list[Point]:
    """The variants of the runs as points; fewest labels first, `all` last."""
    points = [_point(variant) for variant in results.variants(home, NO_NEGATIVES)]
    return sorted(points, key=lambda p: (p.labels == ALL, int(p.labels) if p.labels != ALL else 0))


def _point(variant: str) -> Point:
    parts = variant.split(JOIN)
    labels = [part.removeprefix(LABELS) for part in parts if part.startswith(LABELS)]
    others = [part for part in parts if not part.startswith(LABELS)]
    return Point(variant, JOIN.join(others) or BASE, labels[0] if labels else ALL)


def initialisations(results: Results) -> list[str]:
    """Those of the runs, in the order of the config."""
    variants = (run["variant"] for run in results.spec["runs"])
    return list(dict.fromkeys(_point(variant).initialisation for variant in variants))


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
    """Figure 5.3 as a table: one row per number of labels, one column per initialisation."""
    homes, names = results.in_distributions(), initialisations(results)
    draft = Draft(results, ["Labelled images"], show_home=len(homes) > 1)
    for home in homes:
        column, points = abnormal_column(results, home), fine_tuned(results, home)
        for labels in dict.fromkeys(point.labels for point in points):
            variants = {p.initialisation: p.variant for p in points if p.labels == labels}
            cells = [Cell(_labels_title(labels, training_images(results, home)))]
            below = [REPORTED_ROW]
            for name in names:
                if name not in variants:
                    cells.append(measured(None, column.digits))
                    below.append(Cell(""))
                    continue
                entry = draft.measure(home, NO_NEGATIVES, column, variants[name])
                entry.record.update(initialisation=name, labels=labels)
                cells.append(measured(entry, column.digits))
                below.append(reported(entry, column.digits))
            draft.add(home, best_in_row(cells, 1), below)
    return draft.table(
        "AUROC (%) of telling abnormal from normal images of "
        f"{titles_of(results, 'datasets', homes)} after fine-tuning with few labels, by the "
        "initialisation of the network.",
        [variant_title(results, name) for name in names],
        ["Bold: best of the row.", *score_notes([results.score])],
        [("Initialisation", len(names))],
    )


def _labels_title(labels: str, count: int | None) -> str:
    if labels != ALL:
        return f"{int(labels):,}"
    return ALL if count is None else f"{count:,} ({ALL})"
