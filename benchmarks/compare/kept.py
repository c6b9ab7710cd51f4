"""Measurements that the documentation shows: docs/measured/speed.csv, a row for each comparison."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

from compare.timing import Comparison

PATH = Path(__file__).resolve().parents[2] / "docs" / "measured" / "speed.csv"
SPREAD = ("median", "low", "high")
COLUMNS = (
    "part", "unit", *(f"{side}_{key}" for side in ("ours", "other", "ratio") for key in SPREAD),
    "note", "preset", "device", "clock", "threads", "workers", "repeats", "load", "torch",
    "commit", "date",
)  # fmt: skip


def keep(parts: list[Comparison], result: dict, path: Path = PATH) -> None:
    """Adds a row for each comparison, in place of the one of its part, preset and clock."""
    from ssl_ood.common.commit import commit

    where = result["environment"]
    new = []
    for part in parts:
        row = {"part": part.part, "unit": part.unit, "note": part.note}
        spreads = {"ours": part.speed["ours"], "other": part.speed["usual"], "ratio": part.ratio}
        for side, spread in spreads.items():
            row |= {f"{side}_{key}": f"{getattr(spread, key):.4g}" for key in SPREAD}
        new.append(
            row
            | {
                "preset": result["preset"]["name"],
                "device": where["kind"],
                "clock": where["clock"],
                "threads": where["threads"],
                "workers": where["workers"],
                "repeats": result["repeats"],
                "load": f"{where['load'][0]:.1f}",
                "torch": where["torch"],
                "commit": (commit() or "")[:7],
                "date": datetime.date.today().isoformat(),
            }
        )
    marks = [_mark(row) for row in new]
    rows = [row for row in read(path) if _mark(row) not in marks] + new
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path = PATH) -> list[dict[str, str]]:
    """The rows that are kept."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _mark(row: dict) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("part", "preset", "device", "clock"))
