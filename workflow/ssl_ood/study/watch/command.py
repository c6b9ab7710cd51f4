"""`ssl_ood watch --results results/demo -- snakemake all --cores 2`: how far a study is.

Runs the command after `--` and shows its jobs and the running trainings, in place on a terminal and
line by line elsewhere; its whole output goes to RESULTS/snakemake.log, and what matters of it is
printed when it fails. The exit code is the command's. Without a command it shows the trainings that
run, also on other machines.

A Snakemake (`snakemake` or `python -m snakemake`) is given `--logger=ssl-ood`, which lets it write
what it does to a pipe that is read here: local or with `--profile slurm`, quiet or not. Where a
script calls Snakemake, or other loggers are named, name ssl-ood among them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ssl_ood.common.endings import forget_output
from ssl_ood.study.watch.follow import follow, follow_trainings


def add_parsers(stages: Any) -> None:
    """Adds the subcommand `watch`."""
    parser = stages.add_parser(
        "watch",
        help="run a command and show how far the study is",
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
            return follow(command, options.results, sys.stdout)
        return follow_trainings(options.results, options.once, sys.stdout)
    finally:
        forget_output()  # a full disk, or a reader that is gone, costs the display alone
