"""Puts what was measured into docs/speed.md: no number of its tables is typed by hand.

    python benchmarks/speed_page.py

Between `<!-- NAME -->` and `<!-- end -->` of the page stands the table NAME of docs/measured.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "workflow"))

PAGE = ROOT / "docs" / "speed.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Writes the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """The page with every table as it is measured."""
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def compared(other: str, opponents: bool) -> str:
    """Ours beside the other side, one row per part: each other library, or the usual way."""
    from compare.kept import read

    rows = [row for row in read() if (": " in row["part"]) == opponents]
    rows.sort(key=lambda row: row["part"] if opponents else "")
    head = ("part", "ours", other, "ratio", "unit", "clock", "load")
    body = [
        (
            row["part"],
            *(_spread(row, side) for side in ("ours", "other", "ratio")),
            f"{row['unit']}/s",
            f"{row['clock']}, {row['threads']} thread(s), {row['workers']} worker(s)",
            row["load"],
        )
        for row in rows
    ]
    return _table(head, body)


def growth() -> str:
    """Seconds and memory by size, and the slope of each part."""
    from growth import FOLDER, MEASURED, read, slope

    rows = read(FOLDER / "growth.csv")
    body = []
    for name in dict.fromkeys(row["part"] for row in rows):
        of_part = [row for row in rows if row["part"] == name]
        measured = [row for row in of_part if row["measured"] == MEASURED]
        power = f"{slope(measured, 'processor_seconds'):.2f}" if len(measured) > 1 else "–"
        for row in of_part:
            seconds = f"{float(row['processor_seconds']):,.3g}"
            marked = seconds if row["measured"] == MEASURED else f"({seconds})"
            memory = f"{float(row['memory_mib']):,.0f}" if row["memory_mib"] else "–"
            size = f"{int(row['size']):,} {row['unit']}"
            body.append((name, size, marked, memory, power, row["note"]))
    return _table(("part", "size", "seconds", "MiB", "slope", "what"), body)


def gpu() -> str:
    """What benchmarks/gpu.py measured, with device and commit; a sentence where it was not run."""
    from gpu import read

    rows = read()
    if not rows:
        return "Not run on a GPU yet.\n"
    body = [
        (row["part"], "{value} ({low} to {high})".format(**row), row["unit"], row["note"])
        for row in rows
    ]
    marks = dict.fromkeys("{device}, torch {torch}, {commit}, {date}".format(**r) for r in rows)
    return _table(("part", "value", "unit", "what"), body) + f"\n{'; '.join(marks)}.\n"


def _spread(row: dict[str, str], side: str) -> str:
    from compare.timing import number

    middle, low, high = (number(float(row[f"{side}_{key}"])) for key in ("median", "low", "high"))
    return f"{middle} ({low} to {high})"


def _table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


TABLES = {
    "opponents": lambda: compared("opponent", True),
    "usual": lambda: compared("usual", False),
    "growth": growth,
    "gpu": gpu,
}

if __name__ == "__main__":
    main()
