"""The command line's `evaluate` and `shortcuts`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ssl_ood.common import devices
from ssl_ood.common.slurm import write_down_job


def add_parsers(stages) -> None:
    """Adds the subcommands to the parser of `ssl_ood`."""
    parser = stages.add_parser(
        "evaluate", help="compute features, scores and measurements of a run"
    )
    for name, words in (
        ("config", "evaluation config of the run (json)"),
        ("weights", "model.safetensors of the run"),
        ("data", "folder of the packed sets"),
        ("features", "folder of the features, kept set by set"),
        ("scores", "scores of every image to write (parquet)"),
        ("output", "measurements to write (parquet)"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=words)
    devices.add_arguments(parser)
    parser.set_defaults(run=_evaluate)
    parser = stages.add_parser(
        "shortcuts", help="measure how well cues that need no learning separate the datasets"
    )
    for name, words in (
        ("config", "what is compared (json)"),
        ("data", "folder of the packed sets"),
        ("output", "measurements to write (parquet)"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=words)
    parser.add_argument("--threads", type=int, default=1, help="threads to use (default 1)")
    parser.set_defaults(run=_shortcuts)


def _evaluate(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.evaluation.evaluate import Places, evaluate_run, read_task

    task = read_task(read_json(options.config))
    write_down_job(task.run.run)
    places = Places(options.data, options.features, options.scores, options.output)
    evaluate_run(task, options.weights, places, devices.chosen(options))


def _shortcuts(options: argparse.Namespace) -> None:
    import torch

    from ssl_ood.common.files import read_json
    from ssl_ood.evaluation.shortcuts.stage import measure_shortcuts

    torch.set_num_threads(max(options.threads, 1))
    measure_shortcuts(read_json(options.config), options.data, options.output)
