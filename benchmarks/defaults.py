"""What the settings of the authors' code change, beside those before (commit ccf5649), on the demo.

    snakemake table_quality --cores 2 --configfile profiles/demo/study.yaml benchmarks/defaults.yaml
    python benchmarks/defaults.py results/demo

Writes docs/measured/defaults.csv, one row per strategy: means and standard deviations over three
seeds of the AUROC at the tables' temperature (the average over OOD sets, and the near set: the
other classes), 10-NN accuracy, sensitivity and occupied soft-classes, in percent but for the last.
The figures of before (docs/measured/defaults_before.csv) are of the same study and length at that
commit; of that measurement only these are left.
"""

from __future__ import annotations

import argparse
import csv
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ssl_ood.common.commit import commit
from ssl_ood.measures.metrics import spearman

ROOT = Path(__file__).resolve().parents[1]
BEFORE = ROOT / "docs" / "measured" / "defaults_before.csv"
NEAR, TAU = "fashion_high", 0.04
COLUMNS = {  # of the csv: metric, dataset, unit in the csv
    "average": ("auroc", "average", 100),
    "near": ("auroc", NEAR, 100),
    "knn_accuracy": ("knn_accuracy", None, 100),
    "sensitivity": ("sensitivity", None, 100),
    "occupied_soft_classes": ("occupied_soft_classes", None, 1),
}


def rows_of(measured: pd.DataFrame, before: dict[str, dict[str, str]]) -> list[dict[str, object]]:
    """One row per strategy, in the order of the figures of before."""
    measured = measured[(measured.temperature.isna()) | (measured.temperature == TAU)]
    measured = measured[measured.score.isin(["cosine_tau", ""]) | measured.score.isna()]
    names = measured.strategy.where(measured.variant == "base", measured.variant)
    rows = []
    for strategy, told in before.items():
        row: dict[str, object] = {"strategy": strategy}
        for column, (metric, dataset, unit) in COLUMNS.items():
            found = measured[(names == strategy) & (measured.metric == metric)]
            if dataset is not None:
                found = found[found.dataset == dataset]
            by_seed = unit * found.groupby("seed").value.first()
            row["seeds"] = len(by_seed)
            row[column], row[f"{column}_sd"] = by_seed.mean(), by_seed.std()
        rows.append(row | {f"{key}_before": told[key] for key in list(told)[1:]})
    return rows


def main() -> None:
    """Reads a results folder and writes the csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--commit", default=commit(), help="that the results are of")
    options = parser.parse_args()
    with open(BEFORE, encoding="utf-8", newline="") as file:
        before = {row["strategy"]: row for row in csv.DictReader(file)}
    measured = pd.concat(
        map(pd.read_parquet, sorted(options.results.glob("measurements/*.parquet")))
    )
    rows = rows_of(measured, before)
    date = datetime.now(UTC).date().isoformat()
    with open(BEFORE.with_name("defaults.csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["date", "commit", *rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"date": date, "commit": options.commit, **row} for row in rows)
    trained = [row for row in rows if row["strategy"] != "untrained"]
    for metric in ("sensitivity", "knn_accuracy"):
        rho = spearman([r[metric] for r in trained], [r["average"] for r in trained])
        print(f"rank correlation of {metric} with the average AUROC: {rho:.2f}")


if __name__ == "__main__":
    main()
