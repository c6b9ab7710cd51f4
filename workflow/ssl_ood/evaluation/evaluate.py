"""From features to scores to metrics: the two evaluation stages of a run.

    ssl_ood score --config results/evaluation/RUN.json --features results/features/RUN/index.json \\
        --output results/scores/RUN.parquet
    ssl_ood metrics --config results/evaluation/RUN.json --scores results/scores/RUN.parquet \\
        --soft-classes results/features/RUN/soft_classes.json --output results/metrics/RUN.csv

Rows of the scores, by role: `test` (in-distribution test images), `ood`, and for the sensitivity
score of section 3.4 `sensitivity_held_out` and `sensitivity_test`: training images held out and
the test images, both scored against the rest of the training images.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path, read_json
from ssl_ood.common.vocabulary import AVERAGE, AVERAGE_HONEST, POOLED
from ssl_ood.evaluation.score_columns import split_column
from ssl_ood.measures import metrics

COLUMNS = (
    "run", "study", "in_distribution", "method", "strategy", "variant", "seed", "ood", "score",
    "tau", "metric", "value", "ci_low", "ci_high", "n_in", "n_out",
)  # fmt: skip
NOT_SCORES = ("set", "dataset", "role", "index", "label", "knn_label", "knn_weighted_label")
TPR = 0.95  # of the metric fpr95
SOFT_CLASS_METRICS = ("occupied", "entropy_of_mean", "mean_entropy", "log_k")


@dataclass(frozen=True)
class FeatureSet:
    """Features (N, d) float32 and labels (N,) int64 (-1: none) of a packed set."""

    name: str
    dataset: str
    role: str
    features: np.ndarray
    labels: np.ndarray


def load_features(index: Path) -> list[FeatureSet]:
    """The sets of a features index; UserError where they do not fit or are not finite."""
    sets = []
    for name, entry in read_json(index).items():
        features = np.load(index.parent / entry["features"])
        labels = np.load(index.parent / entry["labels"])
        if len(features) != len(labels) or len(features) != entry["count"]:
            raise UserError(
                f"{index}: {name} has {len(features)} features, {len(labels)} labels and a count "
                f"of {entry['count']}; extract its features again."
            )
        if not np.isfinite(features).all():
            raise UserError(
                f"{index}: features of {name} are NaN or infinite; the training of this run "
                "diverged, train it again with a lower lr_base."
            )
        sets.append(FeatureSet(name, entry["dataset"], entry["role"], features, labels))
    return sets


def score_run(index: Path, config: dict[str, Any], output: Path, device: Any = "cpu") -> None:
    """Scores the test and OOD sets of a features index; writes a parquet file, a row an image.

    Columns: set, dataset, role, index, label, knn_label and knn_weighted_label (test rows only) and
    one column a score (`score_columns.column_name`). Larger scores are more anomalous.
    """
    import torch

    from ssl_ood.evaluation.scoring import Evidence, compute_scores
    from ssl_ood.measures.sensitivity import sensitivity_split

    evaluation = config["evaluation"]
    sets = load_features(index)
    (train,) = (s for s in sets if s.role == "train")
    (test,) = (s for s in sets if s.role == "test")
    wanted = {entry["dataset"] for entry in config["ood"]}
    others = [s for s in sets if s.role == "ood" and s.dataset in wanted]
    missing = sorted(wanted - {s.dataset for s in others})
    if missing:
        raise UserError(f"{index} has no features of {', '.join(missing)}: extract them first.")

    def on_device(features: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)).to(device)

    train_features, test_features = on_device(train.features), on_device(test.features)
    everything = torch.cat([test_features, *(on_device(s.features) for s in others)])
    rows = _rows([test, *others], ["test"] + ["ood"] * len(others))
    labels = torch.from_numpy(train.labels).to(device)
    evidence = Evidence(everything, train_features, labels, everything)
    columns = compute_scores(evidence, evaluation)
    del everything, evidence
    rows |= _knn_columns(test_features, train_features, test, train, evaluation, len(rows["set"]))

    held, reference = sensitivity_split(
        len(train.labels), len(test.labels), evaluation["sensitivity"]["max_share"], config["seed"]
    )
    anomalous = torch.cat([train_features[held], test_features])
    evidence = Evidence(anomalous, train_features[reference], labels[reference], anomalous)
    again = compute_scores(evidence, evaluation)
    held_set = FeatureSet(train.name, train.dataset, "train", held, train.labels[held])
    roles = ["sensitivity_held_out", "sensitivity_test"]
    again_rows = _rows([held_set, test], roles, [held, np.arange(len(test.labels))])
    unlabelled = np.full(len(again_rows["set"]), -1)
    again_rows |= {"knn_label": unlabelled, "knn_weighted_label": unlabelled}
    _write_scores(output, [rows | columns, again_rows | again])


def _rows(sets: list[FeatureSet], roles: list[str], indices: list | None = None) -> dict:
    indices = indices or [np.arange(len(s.labels)) for s in sets]
    counts = [len(s.labels) for s in sets]
    return {
        "set": np.repeat([s.name for s in sets], counts),
        "dataset": np.repeat([s.dataset for s in sets], counts),
        "role": np.repeat(roles, counts),
        "index": np.concatenate(indices),
        "label": np.concatenate([s.labels for s in sets]),
    }


def _knn_columns(test_features, train_features, test, train, evaluation, n_rows: int) -> dict:
    """Labels that the nearest training images vote for; -1 beyond the test rows, without labels
    and where the training images have but one, so that nothing is to be told apart.

    Either way of voting uses all k neighbours of the same search; k = 0 asks for no vote.
    """
    import torch

    from ssl_ood.measures.knn import knn_votes, nearest

    columns = {name: np.full(n_rows, -1) for name in ("knn_label", "knn_weighted_label")}
    unlabelled = min(train.labels.min(), test.labels.min()) < 0
    if evaluation["knn"] == 0 or unlabelled or train.labels.min() == train.labels.max():
        return columns
    similarities, where = nearest(test_features, train_features, evaluation["knn"])
    labels = torch.from_numpy(train.labels).to(where.device)[where]
    classes = int(train.labels.max()) + 1
    for name, temperature in (
        ("knn_label", None),
        ("knn_weighted_label", evaluation["knn_temperature"]),
    ):
        voted = knn_votes(similarities, labels, classes, temperature)
        columns[name][: len(test.labels)] = voted.cpu().numpy()
    return columns


def _write_scores(output: Path, parts: list[dict[str, np.ndarray]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*NOT_SCORES, *(n for n in parts[0] if n not in NOT_SCORES)]
    columns = {}
    for name in names:
        values = np.concatenate([part[name] for part in parts])
        # a missing label is null in the file, for those who read it with other tools
        mask = values < 0 if "label" in name else None
        columns[name] = pa.array(values, mask=mask)
    with atomic_path(output) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """The columns of a scores file; labels that are missing are -1."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {}
    for name in table.column_names:
        column = table[name]
        columns[name] = (pc.fill_null(column, -1) if "label" in name else column).to_numpy()
    return columns


def measure_run(
    scores_path: Path, soft_classes: Path, config: dict[str, Any], output: Path
) -> None:
    """Writes the metrics of a run as tidy csv (`COLUMNS`), full precision.

    For every score and temperature: auroc, fpr95 and aupr against each OOD set, their mean over
    all sets (ood = average) and, where some sets are cut from photographs, over the others
    (average_without_photographs), and where there are two or more sets against all of their images
    at once (pooled); sensitivity. Of the run: the k-NN accuracies where there are labels and k is
    not 0; the teacher's soft-classes where the method has them.
    Values are shares in 0..1, counts, or nats.
    """
    identity = {key: config[key] for key in COLUMNS[:7]}
    blank = dict.fromkeys(COLUMNS, "")
    with atomic_path(output) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        table = read_scores(scores_path)
        for row in [*_score_metrics(table, config), *_quality(table, soft_classes, config)]:
            writer.writerow(blank | identity | row)


def _score_metrics(table: dict[str, np.ndarray], config: dict) -> Iterator[dict[str, Any]]:
    confidence = config["evaluation"]["confidence"]
    role, dataset = table["role"], table["dataset"]
    test = role == "test"
    masks = {entry["dataset"]: (role == "ood") & (dataset == entry["dataset"])
             for entry in config["ood"]}  # fmt: skip
    groups = {name: [name] for name in masks}
    if masks:
        groups[AVERAGE] = list(masks)
    honest = [entry["dataset"] for entry in config["ood"] if not entry.get("photographs")]
    if 0 < len(honest) < len(masks):
        groups[AVERAGE_HONEST] = honest
    for column in table:
        if column in NOT_SCORES:
            continue
        score, tau = split_column(column)
        values = table[column]
        below = values[test]
        outs = {name: values[mask] for name, mask in masks.items()}
        fpr = {name: metrics.fpr_at_tpr(below, out, TPR) for name, out in outs.items()}
        aupr = {name: metrics.aupr(below, out) for name, out in outs.items()}
        common = {"score": score, "tau": "" if tau is None else repr(tau), "n_in": len(below)}
        for ood, names in groups.items():
            n_out = sum(len(outs[name]) for name in names)
            row = common | {"ood": ood, "n_out": n_out}
            area = metrics.mean_auroc_interval(below, [outs[n] for n in names], confidence)
            yield row | _with_interval("auroc", area)
            yield row | {"metric": "fpr95", "value": np.mean([fpr[n] for n in names]).item()}
            yield row | {"metric": "aupr", "value": np.mean([aupr[n] for n in names]).item()}
        if len(outs) > 1:
            together = np.concatenate(list(outs.values()))
            row = common | {"ood": POOLED, "n_out": len(together)}
            yield row | _with_interval("auroc", metrics.auroc_interval(below, together, confidence))
            yield row | {"metric": "fpr95", "value": metrics.fpr_at_tpr(below, together, TPR)}
            yield row | {"metric": "aupr", "value": metrics.aupr(below, together)}
        held, again = values[role == "sensitivity_held_out"], values[role == "sensitivity_test"]
        sensitivity = metrics.auroc_interval(held, again, confidence)
        yield (
            common
            | {"n_in": len(held), "n_out": len(again)}
            | _with_interval("sensitivity", sensitivity)
        )


def _quality(table: dict[str, np.ndarray], soft_classes: Path, config: dict) -> Iterator[dict]:
    test = table["role"] == "test"
    labels = table["label"][test]
    for metric, column in (
        ("knn_accuracy", "knn_label"),
        ("knn_accuracy_weighted", "knn_weighted_label"),
    ):
        voted = table[column][test]
        if voted.min() >= 0:
            share = metrics.accuracy_interval(voted, labels, config["evaluation"]["confidence"])
            yield {"n_in": len(labels)} | _with_interval(metric, share)
    summary = read_json(soft_classes)
    for key in SOFT_CLASS_METRICS if summary else ():  # {}: the method has no soft-classes
        metric = "occupied_soft_classes" if key == "occupied" else key
        yield {"metric": metric, "value": summary[key], "n_in": len(labels)}


def _with_interval(metric: str, interval: metrics.Interval) -> dict[str, Any]:
    value, low, high = interval
    return {"metric": metric, "value": value, "ci_low": low, "ci_high": high}
