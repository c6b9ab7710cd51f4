"""The command line's evaluation stages: score, metrics, table, figure.

Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl_ood.common import devices


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    _add_score(stages)
    _add_metrics(stages)
    _add_table(stages)
    _add_figure(stages)


def _add_score(stages) -> None:
    parser = stages.add_parser("score", help="anomaly scores of a run's test and OOD images")
    parser.add_argument("--config", type=Path, required=True, help="evaluation config of the run")
    parser.add_argument("--features", type=Path, required=True, help="index.json of the features")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    devices.add_arguments(parser)
    parser.set_defaults(run=_score)


def _score(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.evaluation.evaluate import score_run

    device = devices.chosen(options)
    score_run(options.features, read_json(options.config), options.output, device)


def _add_metrics(stages) -> None:
    parser = stages.add_parser("metrics", help="AUROC and other metrics of a run from its scores")
    parser.add_argument("--config", type=Path, required=True, help="evaluation config of the run")
    parser.add_argument("--scores", type=Path, required=True, help="parquet file of the scores")
    parser.add_argument("--soft-classes", type=Path, required=True, help="soft_classes.json")
    parser.add_argument("--output", type=Path, required=True, help="csv file to write")
    parser.set_defaults(run=_metrics)


def _metrics(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.evaluation.evaluate import measure_run

    measure_run(options.scores, options.soft_classes, read_json(options.config), options.output)


def _add_table(stages) -> None:
    parser = stages.add_parser("table", help="one table as csv, markdown and LaTeX")
    parser.add_argument("name", help="for instance table_negative_sampling")
    _add_target(parser)
    parser.add_argument("--reported", type=Path, required=True, help="folder of reported values")
    parser.set_defaults(run=_table)


def _table(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.tables.natural import make_table

    spec = read_json(options.spec) | {"name": options.name}
    make_table(spec, options.metrics, options.reported, options.output)


def _add_figure(stages) -> None:
    parser = stages.add_parser("figure", help="one figure as pdf, png and csv of its data")
    parser.add_argument("name", help="for instance figure_sensitivity")
    _add_target(parser)
    parser.add_argument(
        "--images", type=Path, nargs="*", default=[], metavar="FOLDER",
        help="packed sets, for figures that are made from images",
    )  # fmt: skip
    parser.add_argument(
        "--scores", type=Path, nargs="*", default=[], metavar="FILE",
        help="scores of the runs (parquet), for figures of their distributions",
    )  # fmt: skip
    parser.add_argument("--reported", type=Path, help="folder of reported values, where shown")
    parser.set_defaults(run=_figure)


def _figure(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.figures.natural import Files, make_figure

    spec = read_json(options.spec) | {"name": options.name}
    files = Files(options.images, options.scores)
    make_figure(spec, options.metrics, files, options.output, options.reported)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", type=Path, required=True, help="what to show (json)")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="csv files of the runs")
    parser.add_argument("--output", type=Path, required=True, help="path without suffix")
