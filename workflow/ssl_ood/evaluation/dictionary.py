"""The data dictionary of what a run leaves: every column with its type, unit, range and meaning.

From it `ssl_ood export` writes a table schema (Frictionless Data) and a page to read. What a score
means is its own declaration; what a metric means is declared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.measurements import COLUMNS, STATUSES
from ssl_ood.evaluation.score_columns import split_column
from ssl_ood.evaluation.score_files import NOT_SCORES

SHARE = "share"


@dataclass(frozen=True)
class Column:
    """A column of a table. kind: string, integer, number or array, as a table schema has it;
    unit: what a number counts; low, high: the range, None where it is open."""

    name: str
    kind: str
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()

    def field(self) -> dict[str, Any]:
        """A field of a table schema."""
        limits = {"minimum": self.low, "maximum": self.high, "enum": list(self.words)}
        constraints = {key: value for key, value in limits.items() if value not in (None, [])}
        entry = {"name": self.name, "type": self.kind, "description": self.meaning}
        entry |= {"unit": self.unit} if self.unit else {}
        return entry | ({"constraints": constraints} if constraints else {})


@dataclass(frozen=True)
class Metric:
    """What a metric of the measurements means; unit and range of its value."""

    meaning: str
    unit: str = SHARE
    low: float | None = 0
    high: float | None = 1


METRICS = {
    "auroc": Metric("area under the ROC curve of test images against OOD images; 0.5 is chance"),
    "fpr95": Metric("test images that are taken for OOD where 95 % of the OOD images are found"),
    "aupr": Metric("area under the precision-recall curve, OOD images being the positives"),
    "sensitivity": Metric(
        "AUROC of the test images against training images that were held out, both scored against "
        "the other training images: the sensitivity score, which needs no OOD image"
    ),
    "knn_accuracy": Metric("test images whose class the weighted vote of their neighbours finds"),
    "knn_accuracy_majority": Metric("the same by the majority of the neighbours"),
    "occupied_soft_classes": Metric(
        "soft-classes that some test image falls into", "soft-classes", 0, None
    ),
    "occupied_soft_classes_train": Metric(
        "soft-classes that some training image falls into", "soft-classes", 0, None
    ),
    "entropy_of_mean": Metric("entropy of the mean output over the test images", "nats", 0, None),
    "mean_entropy": Metric("mean entropy of the output of a test image", "nats", 0, None),
    "log_k": Metric("the largest entropy that K soft-classes allow", "nats", 0, None),
}
_MEASUREMENTS = {
    "run": "the run: study-in_distribution-strategy-variant-seed",
    "study": "the study that the run belongs to",
    "in_distribution": "the dataset that it was trained on",
    "method": "how it was trained",
    "strategy": "where its negatives are from",
    "variant": "what settings it differs by from the method's",
    "seed": "seed of everything random; where the study splits by seed, the split, too",
    "dataset": "the OOD set, an average over sets, or all of them pooled; empty without one",
    "score": "the anomaly score; empty where the metric needs none",
    "temperature": "temperature of the score; null where it has none",
    "metric": "what was measured",
    "value": "its value, in the metric's unit; null unless measured",
    "low": "lower end of the confidence interval; null where there is none",
    "high": "upper end of the confidence interval; null where there is none",
    "over": "what the interval is over; empty where there is none",
    "n_in": "in-distribution images that it is over",
    "n_out": "OOD images that it is over",
    "status": "whether there is a value, or why there is none",
}
_SCORES = {
    "set": "dataset and split of the image",
    "dataset": "the dataset of the image",
    "role": "what the image is for: test (in-distribution), ood, calibration, or one of the two "
    "sides of the sensitivity score",
    "index": "place of the image in its set, from 0",
    "label": "class of the image, from 0; null without one",
    "knn_label": "the class that the weighted vote of its neighbours gives; null outside of test",
    "knn_majority_label": "the class that their majority gives; null outside of test",
}
_WORDS = {"over": ("", "images"), "status": STATUSES, "metric": tuple(METRICS)}
_COUNTS = ("seed", "n_in", "n_out", "index", "label", "knn_label", "knn_majority_label")
_NUMBERS = ("value", "low", "high")  # their ranges are the metric's


def measurement_columns() -> list[Column]:
    """The columns of a run's measurements, one row for each number."""
    return [_column(name, _MEASUREMENTS[name]) for name in COLUMNS]


def score_columns(names: Iterable[str]) -> list[Column]:
    """The columns `names` of a run's scores, one row for each image."""
    return [_column(name, _SCORES[name]) if name in NOT_SCORES else _score(name) for name in names]


def feature_columns() -> list[Column]:
    """The columns of a set's features, one row for each image."""
    return [
        _column("index", _SCORES["index"]),
        Column("features", "array", "its features as a list of float32, not normalised"),
    ]


def _column(name: str, meaning: str) -> Column:
    if name in _COUNTS:
        unit = "images" if name in ("n_in", "n_out") else ""
        return Column(name, "integer", meaning, unit, low=0)
    if name == "temperature":
        return Column(name, "number", meaning, low=0)
    if name in _NUMBERS:
        return Column(name, "number", meaning)
    return Column(name, "string", meaning, words=_WORDS.get(name, ()))


def _score(name: str) -> Column:
    score, tau = split_column(name)
    entry = lookup("score", score)
    at = f" at temperature {tau}" if tau is not None else ""
    return Column(name, "number", f"{entry.title}{at}: {entry.notes}; larger is more anomalous")


def page(resources: Mapping[str, Sequence[Column]]) -> str:
    """The dictionary in markdown: a table for each kind of file, and the metrics."""
    head = "# Data dictionary\n\nEvery file is parquet. A missing value is null, or NaN.\n\n"
    return head + resources_page(resources)


def resources_page(resources: Mapping[str, Sequence[Column]]) -> str:
    """The tables of `page`, without its head."""
    parts = []
    for name, columns in resources.items():
        rows = [(f"`{c.name}`", c.kind, c.unit, _range(c), c.meaning) for c in columns]
        parts += [f"## `{name}`", _table(("column", "type", "unit", "range", "meaning"), rows)]
    rows = [(f"`{n}`", m.unit, _limits(m.low, m.high), m.meaning) for n, m in METRICS.items()]
    parts += ["## Metrics", _table(("metric", "unit", "range", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def _range(column: Column) -> str:
    if column.words and column.name != "metric":
        return ", ".join(f"`{word}`" if word else "empty" for word in column.words)
    return _limits(column.low, column.high)


def _limits(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f"{low} and above" if high is None else f"{low} to {high}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )
