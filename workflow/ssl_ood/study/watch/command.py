"""`ssl_ood watch --results results/demo -- snakemake all --cores 2`: how far a study is.

Runs the command after `--` and shows its jobs and the running trainings, in place on a terminal and
line by line elsewhere; its whole output goes to RESULTS/snakemake.log, and what matters of it is
printed when it fails. The exit code is the command's, or 3 where it made all that could be made and
some cells of its tables have no data: what is missing is printed. Where downloads failed, it is run
once more without what needs them. Without a command it shows the trainings that run, also on other
machines.

A Snakemake (`snakemake` or `python -m snakemake`) is given `--logger=ssl-ood`, which lets it write
what it does to a pipe that is read here: local or with `--profile slurm`, quiet or not. Where a
script calls Snakemake, or other loggers are named, name ssl-ood among them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ssl_ood.common.endings import INTERRUPTED, forget_output
from ssl_ood.common.files import read_json
from ssl_ood.study.watch.follow import follow, follow_trainings

INCOMPLETE = 3  # exit code where everything was made but what data are missing for


def add_parsers(stages: Any) -> None:
    """Adds the subcommand `watch`."""
    parser = stages.add_parser(
        "watch",
        help="run a command and show the progress of the study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--once", action="store_true", help="print once, without a command")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    sys.stdout.reconfigure(errors="replace")  # an exotic sign in a log must not end the watch
    try:
        if command:
            return _follow(command, options.results)
        return follow_trainings(options.results, options.once, sys.stdout)
    finally:
        forget_output()  # a full disk, or a reader that is gone, costs the display alone


def _follow(command: list[str], results: Path) -> int:
    """Runs the command until no other download fails; what is missing then is said."""
    seen: set[str] = set()
    while True:
        before = _failed_downloads(results)
        code = follow(command, results, sys.stdout)
        after = _failed_downloads(results)
        failed = {name for name, when in after.items() if when != before.get(name)} - seen
        if code in (0, INTERRUPTED) or not failed:
            break
        seen |= failed
        names = ", ".join(sorted(failed))
        print(f"{names} could not be fetched: once more, without what needs it", flush=True)
    left_out = _left_out(results)
    if code or not left_out:
        return code
    print("Not all data are there, so that cells are empty. Left out:")
    for sentence in left_out:
        print(f"  {sentence}")
    return INCOMPLETE


def _failed_downloads(results: Path) -> dict[str, int]:
    """When each download failed that did, by dataset; see `datasets.places.failed_fetch`."""
    marks = (results / "archives").glob("*.failed.json")
    return {path.name.removesuffix(".failed.json"): path.stat().st_mtime_ns for path in marks}


def _left_out(results: Path) -> list[str]:
    """What the tables and figures in the folder lack; see `study.gaps.write_gaps`."""
    try:
        sentences = read_json(results / "gaps.json")
    except (OSError, ValueError):
        return []
    return list(dict.fromkeys(sentence for gaps in sentences.values() for sentence in gaps))
