"""What differs between two results folders, or two csv files of a table.

    ssl_ood compare results /elsewhere/results --tolerance 1e-6 --output differences.csv

Compares every measurement of every run and every row of every table. Exit code 0: equal, 1: not.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import write_text
from ssl_ood.common.proofs import read_rows

if TYPE_CHECKING:
    import pandas as pd

# What a row says; all other columns tell which row it is.
VALUES = {
    "value",
    "measured",
    "spread",
    "low",
    "high",
    "ci_low",
    "ci_high",
    "reported",
    "difference",
    "change",
    "change_low",
    "change_high",
    "change_n",
    "n",
    "n_in",
    "n_out",
    "n_seeds",
    "over",
    "interval_over",
    "status",
    "verdict",
    "reason",
    "chosen",
    "runs",
}
# Columns of a run's measurements in files of the first schema, by today's names.
RENAMED = {"ood": "dataset", "tau": "temperature", "ci_low": "low", "ci_high": "high"}
DIFFERENCES = ("place", "row", "column", "a", "b", "difference")
NAN = math.nan
SHOWN = 20  # differences that are printed; --output has all of them


def add_parsers(stages) -> None:
    """Adds the subcommand to the parser of `ssl_ood`."""
    words = "what differs between two results folders, or two tables"
    parser = stages.add_parser("compare", help=words)
    for name in ("a", "b"):
        parser.add_argument(
            name, type=Path, metavar=name.upper(), help="results folder, or the csv of a table"
        )
    parser.add_argument(
        "--tolerance",
        type=_tolerance,
        default=0.0,
        help="largest difference at which two numbers still count as equal (default: 0)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="csv file of all differences")
    parser.set_defaults(run=_compare)


def _tolerance(text: str) -> float:
    if not 0 <= (value := float(text)) < math.inf:  # NaN is neither
        raise argparse.ArgumentTypeError("must be a number of 0 or more")
    return value


def _compare(options: argparse.Namespace) -> int:
    frames = [read(path) for path in (options.a, options.b)]
    differing = differences(*frames, options.tolerance)
    if options.output:
        write_text(options.output, differing.to_csv(index=False, lineterminator="\n"))
    print(describe(differing, compared=len(frames[0].keys() | frames[1].keys())))
    return int(len(differing) > 0)


def read(path: Path) -> dict[str, pd.DataFrame]:
    """The frames of a results folder or of one csv file, by where they are from.

    Raises UserError where there is nothing to compare.
    """
    if path.is_file():
        return {"table": read_csv(path)}
    frames = measurements_of(path) | {
        f"tables/{table.stem}": read_csv(table) for table in sorted(path.glob("tables/*.csv"))
    }
    if not frames:
        raise UserError(f"{path} has neither measurements nor tables: there is nothing to compare.")
    return frames


def measurements_of(results: Path) -> dict[str, pd.DataFrame]:
    """A frame for each run: measurements/RUN.parquet, or metrics/RUN.csv of the first schema."""
    import pandas as pd

    if (results / "measurements").is_dir():
        paths = sorted(results.glob("measurements/*.parquet"))
        frames = {}
        for path in paths:  # also those of a version without proofs, to compare it with
            table, _ = read_rows(path, "measurements", path.stem, proven=False)
            frames[path.stem] = table.to_pandas()
    else:
        paths = sorted(results.glob("metrics/*.csv"))
        frames = {path.stem: _renamed(pd.read_csv(path)) for path in paths}
    return {f"measurements/{run}": frame for run, frame in frames.items()}


def _renamed(metrics: pd.DataFrame) -> pd.DataFrame:
    """Measurements of the first schema as today's: names, and what stands in for nothing."""
    frame = metrics.rename(columns=RENAMED).fillna({"n_in": 0, "n_out": 0})
    over = frame["low"].notna().map({True: "images", False: ""})
    return frame.assign(over=over, status="measured")


def read_csv(path: Path) -> pd.DataFrame:
    """A table's csv. Raises UserError for what is none."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as the csv of a table: {error}.") from None


def differences(
    a: dict[str, pd.DataFrame], b: dict[str, pd.DataFrame], tolerance: float = 0.0
) -> pd.DataFrame:
    """A row for each value that is not the same in `a` and `b`, with the columns `DIFFERENCES`.

    What only one of them has is one row with "missing" in place of the other. Two empty values are
    equal, and so are numbers that are `tolerance` or less apart.
    """
    import pandas as pd

    rows: list[tuple] = []
    for place in sorted(a.keys() | b.keys()):
        if place not in a or place not in b:
            there = ["there" if place in side else "missing" for side in (a, b)]
            rows.append((place, "", "", *there, NAN))
        else:
            rows += _in_frame(place, a[place], b[place], tolerance)
    return pd.DataFrame(rows, columns=list(DIFFERENCES))


def _in_frame(place: str, a: pd.DataFrame, b: pd.DataFrame, tolerance: float) -> list[tuple]:
    import pandas as pd

    shared = [column for column in a.columns if column in b.columns]
    keys = [column for column in shared if column not in VALUES]
    columns = [column for column in shared if column in VALUES]
    rows: list[tuple] = [
        (place, "", column, *(("there" if column in side else "missing") for side in (a, b)), NAN)
        for column in (*a.columns, *b.columns)
        if column not in shared
    ]
    # What all rows of both have in common tells none from the others.
    keys = [key for key in keys if pd.concat([a[key], b[key]]).nunique(dropna=False) > 1]
    a, b = (_keyed(frame, keys) for frame in (a, b))
    for row in dict.fromkeys([*a, *b]):
        if row not in a or row not in b:
            there = ["there" if row in side else "missing" for side in (a, b)]
            rows.append((place, row, "", *there, NAN))
            continue
        for column in columns:
            one, other = a[row][column], b[row][column]
            if pd.isna(one) and pd.isna(other):
                continue
            try:
                apart = float(other) - float(one)
                equal = abs(apart) <= tolerance or one == other
            except (TypeError, ValueError):
                apart, equal = NAN, str(one) == str(other)
            if not equal:
                rows.append((place, row, column, one, other, apart))
    return rows


def _keyed(frame: pd.DataFrame, keys: list[str]) -> dict[str, dict]:
    """The rows by what they are of; the second of the same is numbered, and so on."""
    import pandas as pd

    rows: dict[str, dict] = {}
    for record in frame.to_dict("records"):
        words = [f"{record[key]}" for key in keys if not pd.isna(record[key]) and record[key] != ""]
        name, count = " ".join(words), 1
        while name in rows:
            count += 1
            name = f"{' '.join(words)} ({count})"
        rows[name] = record
    return rows


def describe(differing: pd.DataFrame, compared: int) -> str:
    """The largest differences as a short table, and how many there are in which files."""
    if differing.empty:
        return f"equal: {compared} files of measurements and tables."
    places = differing.groupby("place", sort=False).size()
    order = differing["difference"].abs().sort_values(ascending=False, kind="stable").index
    largest = differing.loc[order]  # what is no number comes last
    lines = [f"{len(differing)} differences in {len(places)} of {compared} files:"]
    lines += [f"  {place}: {count}" for place, count in places.head(SHOWN).items()]
    if len(places) > SHOWN:
        lines.append(f"  and {len(places) - SHOWN} files more")
    lines.append("the largest:")
    for entry in largest.head(SHOWN).itertuples():
        name = " ".join(part for part in (entry.place, entry.row, entry.column) if part)
        by = f" ({entry.difference:+.6g})" if entry.difference == entry.difference else ""
        lines.append(f"  {name}: {_short(entry.a)} -> {_short(entry.b)}{by}")
    if len(differing) > SHOWN:
        lines.append(f"  and {len(differing) - SHOWN} more; --output FILE writes all of them")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
