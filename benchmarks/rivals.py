"""The methods that table 6.1 compares with, on one half of FashionMNIST, with one budget for all.

    snakemake table_ood_auroc table_untrained --cores 2 \\
        --configfile profiles/demo/study.yaml benchmarks/rivals.yaml
    python benchmarks/rivals.py results/rivals

Writes docs/measured/rivals.csv, one row per method and score: means and standard deviations over
seeds of the AUROC (the average over OOD sets, and the near set: the other classes) and of the 10-NN
accuracy, the same of the network as it is drawn, all in percent, and the processor's minutes of a
training. A killed run of Snakemake resumes; the rows are of the seeds that are there.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ssl_ood.common.commit import commit

CSV = Path(__file__).resolve().parents[1] / "docs" / "measured" / "rivals.csv"
NEAR, TAU = "fashion_high", 0.04
METRICS = {"average": ("auroc", "average"), "near": ("auroc", NEAR), "knn": ("knn_accuracy", "")}


@dataclass(frozen=True)
class Rival:
    """A row of the csv: whose runs, by which score; untrained: the study of its drawn network."""

    title: str
    study: str
    score: str
    labels: bool = False
    strategy: str = "none"
    untrained: str = ""


RIVALS = [
    Rival(
        "Self-distillation with negatives (combined)", "natural", "cosine_tau", False, "combined"
    ),
    Rival("DINO (no negatives)", "natural_none", "cosine_tau", untrained="natural"),
    Rival("SSD", "natural_simclr", "ssd"),
    Rival("SimCLR, nearest image", "natural_simclr", "cosine_max"),
    Rival("CSI", "natural_csi", "csi"),
    Rival("Rotation prediction", "natural_rotation", "rotation_likelihood"),
    Rival("Glow, bits per dimension", "natural_glow", "bits_per_dimension"),
    Rival("Geometric", "natural_geometric", "geometric", labels=True),
    Rival("Supervised, MSP", "natural_supervised", "msp", labels=True),
    Rival("Supervised, Mahalanobis", "natural_supervised", "mahalanobis_classes", labels=True),
]


def row_of(rival: Rival, measured: pd.DataFrame, minutes: dict[str, float]) -> dict[str, object]:
    """One row of the csv; cells without a measurement are empty."""
    row: dict[str, object] = {
        "method": rival.title,
        "labels": "yes" if rival.labels else "no",
        "score": rival.score,
    }
    drawn = measured[
        (measured.study == (rival.untrained or rival.study)) & (measured.variant == "untrained")
    ]
    trained = measured[
        (measured.study == rival.study)
        & (measured.strategy == rival.strategy)
        & (measured.variant == "base")
    ]
    for suffix, runs in (("", trained), ("_untrained", drawn)):
        row[f"seeds{suffix}"] = runs.seed.nunique()
        for column, (metric, dataset) in METRICS.items():
            score = rival.score if metric == "auroc" else ""
            cells = runs[
                (runs.metric == metric)
                & (runs.dataset.fillna("") == dataset)
                & (runs.score.fillna("") == score)
                & (runs.temperature.isna() | (runs.temperature == TAU))
            ]
            values = 100 * cells.groupby("seed").value.first()
            row[f"{column}{suffix}"] = values.mean()
            row[f"{column}_sd{suffix}"] = values.std()
    spent = [minutes[run] for run in trained.run.unique()]
    row["cpu_minutes"] = sum(spent) / len(spent) if spent else float("nan")
    return {key: "" if value != value else value for key, value in row.items()}  # no NaN in the csv


def minutes_of(results: Path) -> dict[str, float]:
    """The processor's minutes of each training, by run, from Snakemake's benchmark files."""
    return {
        path.stem: sum(json.loads(line)["cpu_time"] for line in path.read_text().splitlines()) / 60
        for path in results.glob("benchmarks/train/*.jsonl")
    }


def main() -> None:
    """Reads a results folder and writes the csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--commit", default=commit(), help="that the results are of")
    options = parser.parse_args()
    tables = map(pd.read_parquet, sorted(options.results.glob("measurements/*.parquet")))
    measured, minutes = pd.concat(tables), minutes_of(options.results)
    date = datetime.now(UTC).date().isoformat()
    rows = [row_of(rival, measured, minutes) for rival in RIVALS]
    rows = [{"date": date, "commit": options.commit, **row} for row in rows if row["seeds"]]
    with open(CSV, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(f"{row['method']}: {row['average']:.1f} ({row['seeds']} seeds)")


if __name__ == "__main__":
    main()
