"""Every medical method that can be trained here, on fundus photographs and on the demo's pieces.

    export FUNDUS=...   # a folder or archive with the folders normal_train, normal_test, glaucoma
    snakemake table_medical_compared --cores 2 \\
        --configfile profiles/demo/study.yaml benchmarks/medical.yaml
    python benchmarks/medical.py results/medical

Writes docs/measured/medical.csv, one row per method, score and OOD set: AUROC in percent, its
standard deviation over the seeds, and the seconds of a training; beside them the best shortcuts of
each pair.
A killed run of Snakemake resumes; the rows are those of the table that is there.
"""

from __future__ import annotations

import argparse
import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ssl_ood.common.commit import commit

CSV = Path(__file__).resolve().parents[1] / "docs" / "measured" / "medical.csv"


def row_of(cell: pd.Series, results: Path) -> dict[str, object]:
    """A row of the csv from one of the table's; cells without a value are empty."""
    runs = [] if pd.isna(cell.runs) else cell.runs.split()
    trained = [json.loads((results / "runs" / run / "train.json").read_text()) for run in runs]
    seconds = [entry["seconds"] for entry in trained]
    row: dict[str, object] = {
        "trained_on": cell.in_distribution,
        "ood": cell.dataset,
        "system": cell.strategy if cell.system == "ours" else cell.system,
        "score": cell.score,
        "seeds": len(runs) or "",
        "auroc": 100 * cell.measured,
        "auroc_sd": 100 * cell.spread,
        "seconds": sum(seconds) / len(seconds) if seconds else "",
    }
    return {key: "" if pd.isna(value) else value for key, value in row.items()}


def main() -> None:
    """Reads the table of a results folder and writes the csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--commit", default=commit(), help="that the results are of")
    options = parser.parse_args()
    table = pd.read_csv(options.results / "tables" / "table_medical_compared.csv")
    state = {"date": datetime.now(UTC).date().isoformat(), "commit": options.commit}
    measured = table[table.measured.notna()]
    rows = [state | row_of(cell, options.results) for _, cell in measured.iterrows()]
    with open(CSV, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{CSV.name}: {len(rows)} rows")


if __name__ == "__main__":
    main()
