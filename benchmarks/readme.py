"""Writes what the README shows of the demo: `make readme`, after `make demo`.

    python benchmarks/readme.py results/demo

Copies the tables and figures that the README shows to docs/demo, and puts them between two marks of
the README, with sentences made of them. Nothing between the marks is written by hand; a test
compares them with docs/demo.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ROOT / "docs" / "demo"
TABLE = "table_quality.txt"  # in docs/demo, where every .md is a page of the website
FIGURES = ("figure_sensitivity.png", "figure_negatives.png")
COPIED = {
    "tables/table_quality.md": TABLE,
    "tables/table_claims.csv": "table_claims.csv",
    **{f"figures/{name}": name for name in FIGURES},
}
BEGIN, END = "<!-- make readme: begin -->", "<!-- make readme: end -->"
# Claims of chapter 6 that the README quotes with their measurement, by their ids.
QUOTED = (
    "gain_rot_imgn_over_none",
    "auroc_follows_sensitivity",
    "sensitivity_beats_knn",
    "fewer_soft_classes",
)
VERDICTS = {"holds": "hold", "does not hold": "do not hold", "undecided": "are undecided"}


def main() -> None:
    """Copies from a results folder, then writes the README."""
    results = Path(sys.argv[1])
    SHOWN.mkdir(exist_ok=True)
    for made, name in COPIED.items():
        path = results / made
        if not path.exists():
            raise SystemExit(f"There is no {path}: `make demo` makes it.")
        shutil.copyfile(path, SHOWN / name)
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), SHOWN), encoding="utf-8")


def filled(readme: str, shown: Path) -> str:
    """The README with the part between its marks made of the files in `shown`."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"The README has no {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{part(shown)}\n{END}{after}"


def part(shown: Path) -> str:
    """The table, the claims and the figures."""
    blocks = (shown / TABLE).read_text(encoding="utf-8").split("\n\n")
    table = next(block for block in blocks if block.startswith("|"))
    with open(shown / "table_claims.csv", encoding="utf-8", newline="") as file:
        claims = {row["id"]: row for row in csv.DictReader(file)}
    counts = Counter(row["verdict"] for row in claims.values())
    verdicts = ", ".join(f"*{verdict}* for {counts[verdict]}" for verdict in VERDICTS)
    lines = [
        table.strip(),
        "",
        "Of the thesis's claims about chapter 6 that can be judged here, the verdict is "
        f"{verdicts} (`table_claims` has each of them beside its measurement):",
        "",
    ]
    for name in QUOTED:
        row = claims[name]
        measured = re.sub(r"\s+", " ", row["measured"]).strip()
        lines.append(f"- {row['claim']}: **{row['verdict']}**, {measured}.")
    for name in FIGURES:
        lines += ["", f"![{TITLES[name]}](docs/demo/{name})"]
    return "\n".join(lines)


TITLES = {
    "figure_sensitivity.png": "AUROC against 10-NN accuracy and against the sensitivity score, "
    "one point per negative strategy",
    "figure_negatives.png": "What the negative strategies draw",
}


if __name__ == "__main__":
    main()
