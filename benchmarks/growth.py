"""How time and memory grow with size: planning, packing, scoring, temperatures.

    nice -n 10 python benchmarks/growth.py               # everything but the largest, 10 minutes
    nice -n 10 python benchmarks/growth.py --largest     # 10^6 images, 10^5 by 10^5 scores

Every size is measured in a process of its own: the seconds of a processor that it and its workers
use, which neighbours on the machine hardly change, and the largest memory of one of its processes
beside what it held before the work began. docs/measured/growth.csv keeps a row for each size, with
the commit, the date and the cores; a size that is measured again replaces its row. The figure
growth.svg beside it and the slopes that are printed are made from it: a slope is that of a straight
line through the logarithms of size and seconds, 1 where twice the size takes twice the time.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
sys.path.insert(0, str(ROOT / "benchmarks"))

FOLDER = ROOT / "docs" / "measured"
COLUMNS = ("part", "size", "unit", "processor_seconds", "memory_mib", "measured", "note",
           "threads", "cores", "load", "commit", "date")  # fmt: skip
MEASURED, EXTRAPOLATED = "yes", "extrapolated"


def main(arguments: list[str] | None = None) -> None:
    """Measures what is asked for, and brings the csv, the figure and the slopes up to date."""
    from growth_of.cases import CASES

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--sizes", nargs="+", type=int, help="instead of those of the parts")
    parser.add_argument("--largest", action="store_true", help="the largest sizes, too")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder (docs/measured)")
    options = parser.parse_args(arguments)
    path = options.output / "growth.csv"
    for name in options.parts:
        case = CASES[name]
        sizes = options.sizes or [*case.sizes, *(case.largest if options.largest else ())]
        for size in sizes:
            row = measured(name, size)
            print(
                f"{name} {size:,} {row['unit']}: {row['processor_seconds']} s of a processor, "
                f"{row['memory_mib']} MiB",
                flush=True,
            )
            keep(path, [row])
    rows = read(path)
    rows = [row for row in rows if row["measured"] == MEASURED]
    rows += [row for name in CASES for row in beyond(rows, name, CASES[name].beyond)]
    write(path, rows)
    for name in CASES:
        found = [row for row in rows if row["part"] == name and row["measured"] == MEASURED]
        if len(found) > 1:
            print(f"{name}: slope of the time {slope(found, 'processor_seconds'):.2f}")
    draw(rows, options.output / "growth.svg")


def measured(name: str, size: int) -> dict[str, str]:
    """A row: the case in a process of its own."""
    from growth_of.cases import CASES, THREADS

    from ssl_ood.common.commit import commit

    command = [sys.executable, "-m", "growth_of.cases", name, str(size)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT / 'benchmarks'}"}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    told = json.loads(said.stdout.splitlines()[-1])
    return {
        "part": name,
        "size": str(size),
        "unit": CASES[name].unit,
        "processor_seconds": f"{told['seconds']:.4g}",
        "memory_mib": f"{told['mebibytes']:.4g}",
        "measured": MEASURED,
        "note": told["note"],
        "threads": str(THREADS),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "commit": (commit() or "")[:7],
        "date": datetime.date.today().isoformat(),
    }


def slope(rows: Iterable[dict[str, str]], key: str) -> float:
    """Of a straight line through the logarithms of size and value, by least squares."""
    size, value = (np.log([float(row[k]) for row in rows]) for k in ("size", key))
    return float(np.polyfit(size, value, 1)[0])


def beyond(rows: list[dict[str, str]], name: str, sizes: Iterable[int]) -> list[dict[str, str]]:
    """Rows of sizes that nobody has measured, in proportion to the largest that was."""
    found = sorted((r for r in rows if r["part"] == name), key=lambda r: int(r["size"]))
    made = []
    for size in sizes if found else ():
        last = found[-1]
        if size <= int(last["size"]):
            continue
        seconds = float(last["processor_seconds"]) * size / int(last["size"])
        note = f"in proportion to {int(last['size']):,}"
        made.append(
            last
            | {"size": str(size), "processor_seconds": f"{seconds:.4g}", "memory_mib": ""}
            | {"measured": EXTRAPOLATED, "note": note}
        )
    return made


def read(path: Path) -> list[dict[str, str]]:
    """The rows that are kept."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def keep(path: Path, rows: list[dict[str, str]]) -> None:
    """Adds rows to those that are there, in place of rows of the same part and size."""
    new = {(row["part"], row["size"]) for row in rows}
    write(path, [row for row in read(path) if (row["part"], row["size"]) not in new] + rows)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """The csv, its rows in the order of parts and sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["part"], int(row["size"]))))


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """A panel a part: seconds against size, both logarithmic, beside a line of slope 1."""
    from ssl_ood.report.figures.style import PAGE, house_style, new_figure

    names = list(dict.fromkeys(row["part"] for row in rows))
    columns = 4
    lines = -(-len(names) // columns)
    with house_style():
        figure, axes = new_figure(PAGE, 1.7 * lines, lines, columns)
        for axis, name in zip(axes.flat, names, strict=False):
            _panel(axis, name, [row for row in rows if row["part"] == name])
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for row in axes:
            row[0].set_ylabel("seconds of a processor")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})


def _panel(axis, name: str, rows: list[dict[str, str]]) -> None:
    xy = np.array([[float(row["size"]), float(row["processor_seconds"])] for row in rows])
    known = np.array([row["measured"] == MEASURED for row in rows])
    (start, seconds), end = xy[0], xy[-1, 0]
    axis.plot([start, end], [seconds, seconds * end / start], color="#8c8c8c", lw=0.8)
    axis.plot(*xy.T, ":", color="#0072B2")
    axis.plot(*xy[known].T, "o-", color="#0072B2", markersize=3)
    axis.plot(*xy[~known].T, "s", color="#0072B2", markersize=3, markerfacecolor="white")
    axis.set(xscale="log", yscale="log", xlabel=rows[0]["unit"], title=name)


if __name__ == "__main__":
    main()
