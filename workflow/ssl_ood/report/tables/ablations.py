"""The ablations of chapter 5: one row per variant, the reported values beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, POOLED
from ssl_ood.report.cells import BESIDE, value
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Titled
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import score_notes, titles_of_homes, variant_title


@register(
    "table",
    "batch_size",
    title="Batch sizes",
    notes="AUROC by the batch size of the variants (paper of 5.2, table 3).",
    needs={"measurements", "shortcuts"},
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
    needs={"measurements", "shortcuts"},
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
    accuracy = Column(title, {"metric": "knn_accuracy"})
    return _variants_table(results, "Initialisation", _titles(results), caption, [accuracy])


def _variants_table(
    results: Results,
    lead: str,
    titles: dict[str, str],
    caption: str,
    columns: Sequence[Column] = (),
) -> Table:
    """One row per variant of the strategy `none`, the reported values beside.

    titles: what is printed for each variant, in order; columns: without them the OOD sets.
    """
    sets = [] if columns else _ood_sets(results)
    of = {"strategy": NO_NEGATIVES}
    rows = [
        Row([title], of | {"in_distribution": home, "variant": variant})
        for home in results.in_distributions()
        for variant, title in titles.items()
        if variant in results.variants(home, NO_NEGATIVES)
    ]
    more = [
        Column(results.title("datasets", ood), {"dataset": ood, "unit": "fraction"}) for ood in sets
    ]
    grid = Grid(results, rows, [*columns, *more])
    return replace(grid, columns=_compared(grid)).table(
        caption.format(homes=titles_of_homes(results)),
        [lead],
        [
            "Bold: best of the column.",
            *score_notes([results.score] * bool(sets)),
            *["All: the union of the OOD sets."] * (POOLED in sets),
        ],
        best="column",
        groups_in_markdown=True,
        over_images="DeLong" if sets else "Wilson",
    )


def _compared(grid: Grid) -> list[Column]:
    """The columns, with reported values beside where there are any.

    Beside them a lone column says under its title only that it is measured.
    """
    columns = set(grid.frame["column"][grid.frame["reported"].notna()])
    alone = {"measured": value} if columns else None
    return [
        replace(column, pieces=BESIDE if i in columns else alone)
        for i, column in enumerate(grid.columns)
    ]


def _titles(results: Results) -> dict[str, str]:
    """Variants of the runs, the base last as what the others differ from."""
    names = dict.fromkeys(run["variant"] for run in results.spec["runs"])
    ordered = [v for v in names if v != BASE] + [BASE] * (BASE in names)
    return {variant: variant_title(results, variant) for variant in ordered}


def _ood_sets(results: Results) -> list[str]:
    """Those of all datasets, and their union where a dataset has several."""
    sets = [results.ood_sets(home) for home in results.in_distributions()]
    names = list(dict.fromkeys(ood for names in sets for ood in names))
    return names + [POOLED] * any(len(names) > 1 for names in sets)
