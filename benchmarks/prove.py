"""Reads thousands of damaged files of every format and notes what came of it.

    python benchmarks/prove.py                # `make prove`: 1,500 zips, 3,000 npy headers, ...
    python benchmarks/prove.py --share 0.1    # a tenth of them

What may come of a damaged file is a sentence, or what can still be read of it. A fault is anything
else: another exception, a crash, a hang, memory without measure, or other images out of a format
that could have told. One row per format is written to docs/measured/robustness.csv. The exit code
is 1 where there is a fault. `tests/situations/test_damage_is_said.py` runs a short version.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRIED = {"zip": 1500, "npy": 3000}
OTHERS = 1000
SECONDS = 600  # for a format
COLUMNS = (
    "commit", "date", "kind", "tried", "sentences", "read", "faults", "seconds", "peak_mib",
)  # fmt: skip


def main() -> int:
    """Parses the command line, tries, prints and writes; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the files (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "measured" / "robustness.csv"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from support.damaged import KINDS

    from ssl_ood.declarations import declare_everything

    declare_everything()
    state = {"commit": commit(), "date": datetime.date.today().isoformat()}
    rows = []
    for kind in KINDS:
        rows.append(
            state | row(kind, max(int(options.share * TRIED.get(kind, OTHERS)), 1), options)
        )
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with open(options.output, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 1 if any(row["faults"] for row in rows) else 0


def row(kind: str, count: int, options: argparse.Namespace) -> dict[str, object]:
    """What came of so many damaged files of a format."""
    from support.bounded import bounded
    from support.damaged import PEAK, fuzz

    outcome = bounded(lambda: fuzz(kind, count, options.seed), SECONDS)
    tally = outcome.value
    faults = list(tally.faults) if tally else [f"{kind} was {outcome.ended}"]
    if not outcome.peak < PEAK:
        faults.append(f"it took {outcome.peak:.0f} MiB")
    for fault in faults:
        print(f"{kind}: {fault}", file=sys.stderr)
    return {
        "kind": kind,
        "tried": tally.tried if tally else 0,
        "sentences": tally.sentences if tally else 0,
        "read": tally.taken if tally else 0,
        "faults": len(faults),
        "seconds": f"{outcome.seconds:.1f}",
        "peak_mib": f"{outcome.peak:.0f}",
    }


def commit() -> str:
    """The commit of this clone, with + for what is not committed."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return (name or "unknown") + ("+" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
