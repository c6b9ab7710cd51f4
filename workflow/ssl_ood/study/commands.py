"""The command line's `plan` and `costs`: what a study will cost, and what it did."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import parse_yaml
from ssl_ood.study import clean, migrate
from ssl_ood.study.runs import Experiments, merge

DIGITS = 4


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    for name, run, words in (
        ("plan", _plan, "GPU hours, disk and datasets that targets will need"),
        ("costs", _costs, "what every table and figure did cost"),
    ):
        parser = stages.add_parser(name, help=words)
        parser.add_argument(
            "--configfile", nargs="+", default=["config.yaml"], metavar="FILE",
            help="config, and what is laid over it; - is a whole config as JSON on stdin",
        )  # fmt: skip
        parser.set_defaults(run=run)
        if name == "plan":
            parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
        else:
            parser.add_argument("--output", type=Path, required=True, help="path without suffix")
    clean.add_parser(stages)
    migrate.add_parser(stages)


def _plan(options: argparse.Namespace) -> None:
    from ssl_ood.study.costs import describe_plan

    print(describe_plan(read_experiments(options.configfile), options.targets))


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
    import yaml

    from ssl_ood.study.read import read_study

    layers = []
    for path in paths:
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
            layers.append(json.loads(text) if path == "-" else parse_yaml(text))
        except OSError as error:
            raise UserError(f"The config {path} cannot be read: {error.strerror}.") from None
        except yaml.YAMLError as error:
            raise UserError(f"The config {path} is not valid YAML: {error}.") from None
    return read_study(merge(*layers), catalogue=os.environ.get("SSL_OOD_CATALOGUE"))
