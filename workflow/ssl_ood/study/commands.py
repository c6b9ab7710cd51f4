"""The command line's `check`, `plan` and `costs`: what is wrong with a study, what it will cost,
and what it has cost."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

from ssl_ood.study import clean, migrate
from ssl_ood.study.layers import read_config
from ssl_ood.study.runs import Experiments

DIGITS = 4


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    for name, run, words in (
        ("check", _check, "find mistakes in a config before anything is planned"),
        ("plan", _plan, "estimate GPU hours, disk and datasets that targets need"),
        ("costs", _costs, "report what every table and figure has cost so far"),
    ):
        parser = stages.add_parser(name, help=words)
        parser.add_argument(
            "--configfile",
            nargs="+",
            default=["config.yaml"],
            metavar="FILE",
            help="config files; each overrides those before it, and the first overrides "
            "config.yaml unless it is complete itself; - reads one as JSON from stdin",
        )
        parser.set_defaults(run=run)
        if name == "plan":
            parser.add_argument(
                "targets",
                nargs="*",
                metavar="TARGET",
                help="tables, figures, studies of own images; default: all",
            )
        elif name == "check":
            parser.add_argument(
                "--no-backbones", action="store_true", help="build no network; imports no torch"
            )
        else:
            parser.add_argument("--output", type=Path, required=True, help="path without suffix")
    clean.add_parser(stages)
    migrate.add_parser(stages)


def _check(options: argparse.Namespace) -> None:
    from ssl_ood.study.costs import describe_networks

    experiments = read_experiments(options.configfile)
    config = experiments.config
    for remark in experiments.remarks:
        print(remark)
    print(
        f"{len(experiments.runs)} runs for {len(config.tables)} tables and {len(config.figures)} "
        "figures: no mistake found."
    )
    if not options.no_backbones:
        from ssl_ood.common.devices import describe_driver

        print(f"\n{describe_networks(experiments)}\n\n{describe_driver()}")


def _plan(options: argparse.Namespace) -> None:
    from ssl_ood.study.costs import describe_plan

    experiments = read_experiments(options.configfile)
    for remark in experiments.remarks:
        print(remark)
    print(describe_plan(experiments, options.targets))


def _costs(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import write_text
    from ssl_ood.study.costs import costs

    rows = costs(read_experiments(options.configfile))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    shown = [[title.replace("_", " ") for title in rows[0]]]
    shown += [[_short(value) for value in row.values()] for row in rows]
    shown.insert(1, ["---"] + ["---:"] * (len(rows[0]) - 2) + ["---"])
    lines = ["| " + " | ".join(row) + " |\n" for row in shown]
    write_text(options.output.with_suffix(".md"), "".join(lines))
    write_text(options.output.with_suffix(".csv"), out.getvalue())


def _short(value: object) -> str:
    if value is None:
        return "—"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def read_experiments(paths: list[str]) -> Experiments:
    """The experiments of config files laid over each other. Raises UserError for a faulty one."""
    from ssl_ood.datasets.catalogues import from_variables
    from ssl_ood.study.read import read_study

    config = json.load(sys.stdin) if paths == ["-"] else read_config(paths)
    return read_study(config, from_variables())
