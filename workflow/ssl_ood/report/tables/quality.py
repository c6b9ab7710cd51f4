"""The quality of a representation beside its AUROC: what each kind of negatives does to it."""

from __future__ import annotations

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.draft import Draft, best_in_columns, measured
from ssl_ood.report.layout import Cell, Table
from ssl_ood.report.options import Scored
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import (
    Column,
    model_title,
    photographs_notes,
    score_words,
    titles_of,
)
from ssl_ood.report.writers import number


@register(
    "table",
    "quality",
    title="Quality of the representation",
    notes="Every strategy beside the untrained network: AUROC, k-NN accuracy, sensitivity.",
    needs={"measurements"},
    version=2,
    settings=Scored,
)
def quality_table(results: Results) -> Table:
    """Every strategy beside the untrained network: AUROC, 10-NN accuracy, sensitivity, teacher."""
    homes, vote = results.in_distributions(), results.spec["evaluation"]
    averages = dict.fromkeys(name for home in homes for name in results.averages(home))
    columns = [
        *(Column(f"AUROC {results.title('datasets', n).lower()}", "auroc", n) for n in averages),
        Column(f"{results.spec['evaluation']['knn']}-NN accuracy", "knn_accuracy"),
        Column("majority of the neighbours", "knn_accuracy_majority"),
        Column("Sensitivity", "sensitivity"),
        Column("Occupied soft-classes", "occupied_soft_classes", unit="count", best=False),
        Column(
            "occupied by training images", "occupied_soft_classes_train", unit="count", best=False
        ),
        Column("Entropy of an output", "mean_entropy", unit="nats", best=False),
        Column("Entropy of the mean output", "entropy_of_mean", unit="nats", best=False),
    ]
    draft = Draft(results, ["Negatives"], show_home=len(homes) > 1)
    for home in homes:
        names, lines = models(results, home), []
        for strategy, variant in names:
            entries = [draft.measure(home, strategy, column, variant) for column in columns]
            cells = [measured(e, c.digits) for e, c in zip(entries, columns, strict=True)]
            lines.append([Cell(model_title(results, strategy, variant)), *cells])
        trained = [i for i, (_, variant) in enumerate(names) if variant == BASE]
        best_in_columns(lines, [1 + i for i, c in enumerate(columns) if c.best], trained)
        for line, (_, variant) in zip(lines, names, strict=True):
            draft.add(home, line, rule=variant == UNTRAINED)
    return draft.table(
        "What each kind of negatives does to the representation of "
        f"{titles_of(results, 'datasets', homes)}: AUROC over the OOD sets, and measures of the "
        f"in-distribution test images alone; {score_words(results)}.",
        [column.title for column in columns],
        [
            "Bold: largest of the column among the trained networks.",
            f"The k-NN accuracy is of votes that weigh exp(cos / {vote['knn_temperature']:g}). "
            "Soft-classes are counted over the test images with the teacher's centre and "
            "temperature, and beside over the training images with their own mean as the centre, "
            f"at a temperature of {vote['soft_class_temperature']:g}.",
            *_entropy_note(results),
            *photographs_notes(results, homes),
        ],
        [
            ("AUROC (%)", len(averages)),
            ("In-distribution test images (%)", 3),
            ("Teacher", 4),
        ],
    )


def models(results: Results, home: str) -> list[tuple[str, str]]:
    """(strategy, variant) of the strategies, and last the untrained network where it was run."""
    trained = [(strategy, BASE) for strategy in results.strategies(home)]
    untrained = UNTRAINED in results.variants(home, NO_NEGATIVES)
    return trained + [(NO_NEGATIVES, UNTRAINED)] * untrained


def _entropy_note(results: Results) -> list[str]:
    """What entropies are compared with, where they were measured: log K of the last model."""
    for home in reversed(results.in_distributions()):
        for strategy, variant in reversed(models(results, home)):
            largest = results.summary(home, strategy, variant=variant, metric="log_k")
            if largest is not None:
                return [
                    f"Entropies in nats; the largest possible is log K = {number(largest.mean)}. A "
                    "teacher that learns has outputs far below it and a mean output that stays "
                    "near it."
                ]
    return []
