"""The command line's `table`, `figure`, `negatives` and `show`.

Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl_ood.common.errors import UserError


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    for kind, words in (
        ("table", "one table as csv, markdown, LaTeX and HTML"),
        ("figure", "one figure as pdf, png and csv of its data"),
    ):
        parser = stages.add_parser(kind, help=words)
        parser.add_argument("--spec", type=Path, required=True, help="what to show (json)")
        _add_files(parser, "measurements", "measurements of the runs (parquet)")
        _add_files(parser, "scores", "scores of the runs (parquet), for forms that need them")
        _add_files(parser, "history", "logs of the trainings (log.jsonl), for forms that need them")
        _add_files(parser, "shortcuts", "what needs no learning (parquet), for forms that show it")
        _add_files(parser, "images", "folders of packed sets, for forms that need images")
        parser.add_argument("--data", type=Path, help="folder of all packed sets, for views")
        parser.add_argument("--reported", type=Path, help="folder of the reported values")
        parser.add_argument("--output", type=Path, required=True, help="path without suffix")
        parser.set_defaults(run=_make, kind=kind)
    parser = stages.add_parser("negatives", help="manifest and contact sheet of a negative set")
    parser.add_argument("--config", type=Path, required=True, help="run config (json)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument(
        "--against",
        nargs="*",
        default=[],
        metavar="DATASET/SPLIT",
        help="sets that no negative may be taken from",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.set_defaults(run=_negatives)
    parser = stages.add_parser("show", help="print a table of the results in the terminal")
    parser.add_argument("table", type=Path, help="the .md or .csv file of a table")
    parser.set_defaults(run=_show)


def _add_files(parser: argparse.ArgumentParser, name: str, words: str) -> None:
    parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], metavar="PATH", help=words)


def _make(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.make import Files, make_figure, make_table

    names = ("measurements", "scores", "shortcuts", "images", "data", "reported", "history")
    files = Files(**{name: getattr(options, name) for name in names})
    make = make_table if options.kind == "table" else make_figure
    make(read_json(options.spec), files, options.output)


def _negatives(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.figures.pictures import write_negative_set

    write_negative_set(read_json(options.config), options.data, options.against, options.output)


def _show(options: argparse.Namespace) -> None:
    path = options.table.with_suffix(".md")
    if not path.exists():
        raise UserError(f"There is no table {path}: make it with `snakemake {path.stem}`.")
    print(path.read_text(encoding="utf-8"))
