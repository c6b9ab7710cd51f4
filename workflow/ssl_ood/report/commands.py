"""The command line's `table`, `figure`, `negatives`, `show`, `report`, `trace` and `detect`.

Nothing heavy is imported before a stage runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl_ood.common import devices
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
    parser = stages.add_parser(
        "negatives", help="write the manifest and a contact sheet of a negative set"
    )
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
    _add_report(stages)
    _add_detect(stages)


def _add_report(stages) -> None:
    parser = stages.add_parser(
        "report", help="write everything that was made as one page to send on"
    )
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=["config.yaml"],
        metavar="FILE",
        help="config files, as for `ssl_ood plan`; - reads one as JSON from stdin",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: report.html in the results folder"
    )
    parser.set_defaults(run=_report)
    parser = stages.add_parser(
        "trace", help="follow a number of a table to its run, settings, images and commit"
    )
    parser.add_argument("table", help="name of a table, or its csv file")
    parser.add_argument("row", help="words of the row, as the table prints them")
    parser.add_argument("column", help="title of the column, with that of its group if need be")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="results folder of a table that is named without its path (default: results)",
    )
    parser.set_defaults(run=_trace)


def _add_detect(stages) -> None:
    parser = stages.add_parser("detect", help="score, rank and flag the images of a folder")
    parser.add_argument("model", type=Path, help="folder of a run, results/runs/RUN, or a bundle")
    parser.add_argument(
        "folder", type=Path, help="folder, zip or tar of images or DICOM files, recursive"
    )
    parser.add_argument("--output", type=Path, help="folder to write to (default: detected-FOLDER)")
    parser.add_argument(
        "--false-alarms",
        type=float,
        default=0.05,
        metavar="RATE",
        help="share of normal images that may be flagged (default: 0.05)",
    )
    parser.add_argument(
        "--score",
        metavar="NAME",
        help="NAME or NAME@TAU of `ssl_ood list score` (default: the first of the run's study)",
    )
    parser.add_argument(
        "--maps",
        action="store_true",
        help="heat maps of where an image is unlike the training images; refused for a model "
        "whose maps do not find patches that are pasted into calibration images",
    )
    parser.add_argument(
        "--thumbnails", type=int, default=60, metavar="N", help="images on the page (default: 60)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that decode images (default: the cores)"
    )
    devices.add_arguments(parser)
    parser.set_defaults(run=_detect)


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


def _detect(options: argparse.Namespace) -> None:
    from ssl_ood.evaluation.detect.detect import Wanted, detect, say_summary
    from ssl_ood.report.detect.page import write_page

    named = options.folder.absolute().name.split(".")[0] or "folder"
    output = options.output or Path(f"detected-{named}")
    request = Wanted(
        folder=options.folder,
        output=output,
        false_alarms=options.false_alarms,
        score=options.score,
        thumbnails=max(options.thumbnails, 0),
        maps=options.maps,
        workers=options.workers,
    )
    about = detect(
        options.model,
        request,
        lambda: devices.chosen(options),
        lambda detection: write_page(detection, output),
    )
    say_summary(about)
    print(output / "detected.html")


def _report(options: argparse.Namespace) -> None:
    from ssl_ood.report.page.write import write_report
    from ssl_ood.study.commands import read_experiments

    experiments = read_experiments(options.configfile)
    results = Path(experiments.config.results_dir)
    print(write_report(experiments, options.output or results / "report.html"))


def _trace(options: argparse.Namespace) -> None:
    from ssl_ood.report.trace import trace

    path = Path(options.table)
    results = path.parent.parent if path.parent.name == "tables" else options.results
    for line in trace(results, path.stem, options.row, options.column):
        print(line)


def _show(options: argparse.Namespace) -> None:
    path = options.table.with_suffix(".md")
    if not path.exists():
        raise UserError(f"There is no table {path}: make it with `snakemake {path.stem}`.")
    print(path.read_text(encoding="utf-8"))
