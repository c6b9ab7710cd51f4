"""Verdicts of two results folders side by side, one row per claim, as a markdown table.

    python benchmarks/verdicts.py OLD NEW > verdicts.md

OLD and NEW are results folders, such as results/demo, of whichever versions of this project:
tables/table_claims*.csv has had the columns id, verdict and measured ever since. For those of the
demo at the commit at which verdicts still rested on single numbers:

    git worktree add ../old ccf5649 && make -C ../old demo && make demo
    python benchmarks/verdicts.py ../old/results/demo results/demo

The measurements of the two differ where the methods do, so that they stand beside the verdicts.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

NONE = "—"  # a claim that a version does not have
HEADER = ("Claim", "Old verdict", "New verdict", "Old measurement", "New measurement", "Why (new)")
Claims = dict[str, Mapping[str, str]]


def read_claims(results: Path) -> Claims:
    """The rows of every table of claims of a results folder, by the id of the claim."""
    paths = sorted(results.glob("tables/table_claims*.csv"))
    if not paths:
        raise SystemExit(f"{results}/tables has no table_claims*.csv: make them first.")
    found: Claims = {}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            found |= {row["id"]: row for row in csv.DictReader(file)}
    return found


def side_by_side(old: Claims, new: Claims) -> list[list[str]]:
    """A row for each claim of either, those of `new` first."""
    nothing = dict.fromkeys(("claim", "verdict", "measured", "reason"), "")
    rows = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name, nothing), new.get(name, nothing)
        told = [now["claim"] or was["claim"], was["verdict"], now["verdict"]]
        rows.append([*told, was["measured"], now["measured"], now["reason"]])
    return rows


def changes(rows: list[list[str]]) -> str:
    """How many verdicts went from which to which."""
    counts = Counter((row[1] or NONE, row[2] or NONE) for row in rows)
    parts = [f"{was} to {now}: {n}" for (was, now), n in counts.most_common() if was != now]
    same = sum(n for (was, now), n in counts.items() if was == now)
    return f"{len(rows)} claims, {same} verdicts unchanged" + "".join(f"; {p}" for p in parts) + "."


def markdown(rows: list[list[str]]) -> str:
    """The rows as a table."""
    cells = [[(cell or NONE).replace("|", r"\|") for cell in row] for row in rows]
    lines = [HEADER, ["---"] * len(HEADER), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str]) -> None:
    """Prints the table and what has changed."""
    if len(arguments) != 2:
        raise SystemExit("usage: python benchmarks/verdicts.py OLD NEW, two results folders")
    rows = side_by_side(*(read_claims(Path(folder)) for folder in arguments))
    print(f"{changes(rows)}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main(sys.argv[1:])
