"""The settings that were tried for the demo, from the logs of their trainings.

    python benchmarks/demo_settings.py RESULTS_FOLDER ...

Writes docs/measured/demo_settings.csv, one row per training: what its log says at its end of the
loss, the entropies, 10-NN accuracy and sensitivity. No OOD set is read: these four are what a
setting of the demo may be chosen by, on a seed that the demo does not use.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"epoch": ("loss", "teacher_entropy", "entropy_of_mean"),
         "probe": ("knn_accuracy", "sensitivity")}  # fmt: skip


def row_of(run: Path) -> dict[str, object] | None:
    """A finished training; None for an untrained network and for one that has not ended."""
    if not (run / "train.json").exists():
        return None
    config = json.loads((run / "config.json").read_text())
    spent = json.loads((run / "train.json").read_text())
    if not spent["steps"]:
        return None
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    training, views = config["training"], config["views"]
    row = {
        "strategy": config["strategy"], "setting": config["variant"], "seed": config["seed"],
        "epochs": training["epochs"], "lr_base": training["lr_base"],
        "weight_decay_end": training["weight_decay"][1], "positive": sum(views["positive"]),
        "negative": sum(views["negative"]), "norm_last_layer": config["head"]["norm_last_layer"],
        "seconds": round(spent["seconds"]),
    }  # fmt: skip
    for kind, keys in KINDS.items():
        last = [line for line in lines if line["kind"] == kind][-1]
        row |= {key: round(last[key], 4) for key in keys}
    return row


def main() -> None:
    """Gathers the trainings of the folders."""
    runs = [run for name in sys.argv[1:] for run in sorted(Path(name).glob("runs/*"))]
    rows = [row for run in runs if (row := row_of(run))]
    path = ROOT / "docs" / "measured" / "demo_settings.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
