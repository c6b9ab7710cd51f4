"""The command line's `check`, `plan` and `costs`: what is wrong with a study, what it will cost,
and what it has cost."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.study import clean, migrate
from ssl_ood.study.layers import merge, read_config
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
            parser.add_argument(
                "--hours",
                type=float,
                help="by the clock of this machine: propose what fits, at the speed of the "
                "trainings that have ended here, or measured for seconds",
            )
            parser.add_argument(
                "--output",
                type=Path,
                default=Path("budget.yaml"),
                metavar="FILE",
                help="of the proposal, to be laid over the config (default: budget.yaml)",
            )
            parser.add_argument(
                "--at-once",
                type=int,
                metavar="N",
                help="trainings side by side (default: one on a GPU, else as cores allow)",
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

    if options.hours is not None:
        _propose(options)
        return
    experiments = read_experiments(options.configfile)
    for remark in experiments.remarks:
        print(remark)
    print(describe_plan(experiments, options.targets))


BUDGET = "# Written by `ssl_ood plan --hours"


def _propose(options: argparse.Namespace) -> None:
    """Prints what of the study fits into the hours, and writes it as a layer of the config."""
    import yaml

    from ssl_ood.common.files import write_text
    from ssl_ood.study import budget, speeds
    from ssl_ood.study.costs import chosen_targets, to_train, trained_for
    from ssl_ood.study.costs import speeds as known_speeds

    config, path = _config(options.configfile), options.output
    budget.check_hours(options.hours)
    if options.at_once is not None and options.at_once < 1:
        raise UserError(f"--at-once {options.at_once}: at least one training runs at a time.")
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(BUDGET):
        raise UserError(f"{path} is not a proposal of this command: name another --output.")
    asked = _read(config)
    targets = chosen_targets(asked, options.targets) or asked.usual
    runs = to_train(asked, trained_for(targets))
    if not speeds.measure(asked, runs, known_speeds(asked)):
        print(
            "The config asks for a GPU and this machine has none: where no training has ended, the "
            "speed is execution.images_per_second, which nobody has measured."
        )
    at_once = options.at_once or speeds.side_by_side(asked)
    prices = budget.Budget(lambda layer: _read(merge(config, layer)), options.targets, at_once)
    plan = budget.propose(prices, options.hours)
    layer = budget.overlay(prices, plan)
    again = budget.Budget(lambda more: _read(merge(config, layer, more)), [], at_once)
    assert again.plan(again.seeds, 100, again.names).hours <= plan.hours * (1 + 1e-9)
    head = f"{BUDGET} {options.hours:g}`; priced at {plan.hours:.3g} hours by the clock.\n"
    write_text(path, head + yaml.safe_dump(layer, sort_keys=False))
    print(budget.describe(prices, plan, options.hours))
    files = [name for name in options.configfile if name != "-"]
    print(f"Written to {path}: snakemake all --configfile {' '.join([*files, str(path)])}")


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
    return _read(_config(paths))


def _config(paths: list[str]) -> dict[str, Any]:
    return json.load(sys.stdin) if paths == ["-"] else read_config(paths)


def _read(config: dict[str, Any]) -> Experiments:
    from ssl_ood.datasets.catalogues import from_variables
    from ssl_ood.study.read import read_study

    return read_study(config, from_variables())
