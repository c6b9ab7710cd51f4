"""The quality of a representation beside its AUROC: what each kind of negatives does to it."""

from __future__ import annotations

from ssl_ood.common.registry import register
from ssl_ood.common.vocabulary import BASE, NO_NEGATIVES, UNTRAINED
from ssl_ood.report.grid import Column, Grid, Row
from ssl_ood.report.layout import Table
from ssl_ood.report.options import Scored
from ssl_ood.report.results import Results
from ssl_ood.report.table_parts import model_title, photographs_notes, score_words, titles_of_homes
from ssl_ood.report.writers import number

TEST_IMAGES = "In-distribution test images (%)"


@register(
    "table",
    "quality",
    title="Quality of the representation",
    notes="Every strategy beside the untrained network: AUROC, k-NN accuracy, sensitivity.",
    needs={"measurements", "shortcuts"},
    version=2,
    settings=Scored,
)
def quality_table(results: Results) -> Table:
    """Every strategy beside the untrained network: AUROC, 10-NN accuracy, sensitivity, teacher."""
    homes, vote = results.in_distributions(), results.spec["evaluation"]
    averages = dict.fromkeys(name for home in homes for name in results.averages(home))
    teacher = {"group": "Teacher", "best": False}
    columns = [
        *(
            Column(f"AUROC {results.title('datasets', n).lower()}", {"dataset": n}, "AUROC (%)")
            for n in averages
        ),
        Column(f"{vote['knn']}-NN accuracy", {"metric": "knn_accuracy"}, TEST_IMAGES),
        Column("majority of the neighbours", {"metric": "knn_accuracy_majority"}, TEST_IMAGES),
        Column("Sensitivity", {"metric": "sensitivity"}, TEST_IMAGES),
        Column(
            "Occupied soft-classes", {"metric": "occupied_soft_classes", "unit": "count"}, **teacher
        ),
        Column(
            "occupied by training images",
            {"metric": "occupied_soft_classes_train", "unit": "count"},
            **teacher,
        ),
        Column("Entropy of an output", {"metric": "mean_entropy", "unit": "nats"}, **teacher),
        Column(
            "Entropy of the mean output", {"metric": "entropy_of_mean", "unit": "nats"}, **teacher
        ),
    ]
    rows = [
        Row(
            [model_title(results, strategy, variant)],
            {"in_distribution": home, "strategy": strategy, "variant": variant},
            rule=variant == UNTRAINED,
            best=variant == BASE,
        )
        for home in homes
        for strategy, variant in models(results, home)
    ]
    return Grid(results, rows, columns).table(
        "What each kind of negatives does to the representation of "
        f"{titles_of_homes(results)}: AUROC over the OOD sets, and measures of the "
        f"in-distribution test images alone; {score_words(results)}.",
        ["Negatives"],
        [
            "Bold: largest of the column among the trained networks.",
            f"The k-NN accuracy is of votes that weigh exp(cos / {vote['knn_temperature']:g}). "
            "Soft-classes are counted over the test images with the teacher's centre and "
            "temperature, and beside over the training images with their own mean as the centre, "
            f"at a temperature of {vote['soft_class_temperature']:g}.",
            *_entropy_note(results),
            *photographs_notes(results),
        ],
        best="column",
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
