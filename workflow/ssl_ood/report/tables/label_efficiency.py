"""Label efficiency, figure 5.3 as a table: what labels are worth to each initialisation."""

from __future__ import annotations

from typing import NamedTuple

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, JOIN, NO_NEGATIVES, POOLED
from ssl_ood.report.cells import REPORTED_BELOW
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Titled
from ssl_ood.report.records import Record, measure
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_notes, titles_of_homes, variant_title

LABELS = "labels_"  # the part of a variant that tells the number of labels: labels_100, labels_all
ALL = "all"


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


def abnormal_set(results: Results, home: str) -> str:
    """The OOD set, or the union of them."""
    sets = results.ood_sets(home)
    return sets[0] if len(sets) == 1 else POOLED


def measure_fine_tuned(results: Results, home: str, point: Point) -> Record:
    """The AUROC in percent against the OOD set, or the union of them."""
    dataset = abnormal_set(results, home)
    record = measure(results, home, NO_NEGATIVES, dataset=dataset, variant=point.variant)
    return record | {"initialisation": point.initialisation, "labels": point.labels}


def training_images(results: Results, home: str) -> int | None:
    """How many labelled images `all` are, where the spec tells: `train_counts: {dataset: n}`."""
    return results.spec.get("train_counts", {}).get(home)


@register(
    "table",
    "label_efficiency",
    title="Label efficiency",
    notes="AUROC after fine-tuning, one row per number of labels (figure 5.3).",
    needs={"measurements", "shortcuts"},
    settings=Titled,
)
def label_efficiency_table(results: Results) -> Table:
    """Figure 5.3 as a table: one row per number of labels, one column per initialisation."""
    homes, names = results.in_distributions(), initialisations(results)
    points = {(home, *point[1:]): point for home in homes for point in fine_tuned(results, home)}
    rows = [
        Row(
            [_labels_title(labels, training_images(results, home))],
            {"in_distribution": home, "labels": labels},
        )
        for home, labels in dict.fromkeys((home, labels) for home, _, labels in points)
    ]
    columns = [
        Column(
            variant_title(results, name),
            {"initialisation": name, "dataset": {h: abnormal_set(results, h) for h in homes}},
            "Initialisation",
        )
        for name in names
    ]

    def at(
        _: Results, in_distribution: str, labels: str, initialisation: str, **of: object
    ) -> Record | None:
        point = points.get((in_distribution, initialisation, labels))
        return point and measure_fine_tuned(results, in_distribution, point)

    return Grid(results, rows, columns, measure=at).table(
        "AUROC (%) of telling abnormal from normal images of "
        f"{titles_of_homes(results)} after fine-tuning with few labels, by the "
        "initialisation of the network.",
        ["Labelled images"],
        ["Bold: best of the row.", *score_notes([results.score])],
        below=REPORTED_BELOW,
    )


def _labels_title(labels: str, count: int | None) -> str:
    if labels != ALL:
        return f"{int(labels):,}"
    return ALL if count is None else f"{count:,} ({ALL})"
