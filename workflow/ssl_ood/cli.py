"""`ssl_ood STAGE`: one subcommand a stage; a rule's command is a command that a person can type."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ssl_ood import __version__
from ssl_ood.common import devices
from ssl_ood.common.errors import UserError
from ssl_ood.datasets import commands as dataset_commands
from ssl_ood.evaluation import commands as evaluation_commands
from ssl_ood.study import commands as plan_commands
from ssl_ood.study.runs import PICTURES
from ssl_ood.study.watch import command as watch

SHUTDOWN_SECONDS = 110  # that torchrun waits for its processes after SIGTERM; a job gets 120


def main(arguments: list[str] | None = None) -> int:
    """Runs a stage; a mistake of the user is one sentence on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="ssl_ood", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    _add_training(stages)
    _add_features(stages)
    _add_pictures(stages)
    _add_show(stages)
    dataset_commands.add_parsers(stages)
    evaluation_commands.add_parsers(stages)
    plan_commands.add_parsers(stages)
    watch.add_parsers(stages)
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except UserError as error:
        print(f"ssl_ood {options.stage}: {error}", file=sys.stderr)
        return 2


def _add_training(stages) -> None:
    parser = stages.add_parser("train", help="train one run, or resume it")
    parser.add_argument("--config", type=Path, required=True, help="run config (json)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--initial", type=Path, help="weights that the backbone starts from")
    parser.add_argument("--progress", type=Path, help="file to tell the progress in")
    parser.add_argument(
        "--devices", type=int, default=1, help="devices of this machine to train on (default: 1)"
    )
    # How a job runs reaches it from the workflow through the environment, not by its command.
    setting = os.environ.get
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=setting("SSL_OOD_CHECKPOINT_MINUTES", "10"),
        help="time between two checkpoints",
    )  # fmt: skip
    parser.add_argument(
        "--micro-batch", type=_micro_batch, default=setting("SSL_OOD_MICRO_BATCH"),
        help="images that a device works on at a time, or auto: as many as its memory holds",
    )  # fmt: skip
    parser.add_argument(
        "--compile", choices=("true", "false"), default=setting("SSL_OOD_COMPILE", "false"),
        help="whether torch.compile makes the networks' passes (default: false)",
    )  # fmt: skip
    parser.add_argument(
        "--wait-minutes", type=float, default=setting("SSL_OOD_WAIT_MINUTES", "0"),
        help="how long to wait for another process that trains this run (default: not at all)",
    )  # fmt: skip
    devices.add_arguments(parser)
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json

    if options.devices > 1 and "RANK" not in os.environ:
        devices.claim_gpus(options.devices)
        # This process becomes torchrun, so that signals reach it, and starts one of us a device.
        # It gives them as long to write a checkpoint as the cluster gives it.
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
        torchrun = ["-m", "torch.distributed.run", "--standalone"]
        torchrun += [f"--nproc-per-node={options.devices}", "-m", "ssl_ood", *sys.argv[1:]]
        os.execv(sys.executable, [sys.executable, *torchrun])
    from ssl_ood.training.trainer import train

    train(
        read_json(options.config),
        options.data,
        options.output,
        options.checkpoints,
        initial=options.initial,
        progress=options.progress,
        device=devices.chosen(options),
        checkpoint_minutes=options.checkpoint_minutes,
        wait_minutes=options.wait_minutes,
        micro_batch=options.micro_batch,
        compiled=options.compile == "true",
    )


def _micro_batch(text: str) -> int | str:
    if text == "auto":
        return text
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be auto, or at least 1")
    return number


def _add_features(stages) -> None:
    parser = stages.add_parser("features", help="extract the features of a trained run")
    parser.add_argument("--config", type=Path, required=True, help="run config (json)")
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument("--ood", nargs="*", default=[], metavar="DATASET/SPLIT")
    parser.add_argument("--output", type=Path, required=True, help="index.json to write")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32",
        help="of the network's products (default: float32)",
    )  # fmt: skip
    devices.add_arguments(parser)
    parser.set_defaults(run=_features)


def _features(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.evaluation.features import extract_sets

    extract_sets(
        read_json(options.config),
        options.weights,
        options.data,
        options.ood,
        options.output,
        devices.chosen(options),
        options.precision,
    )


def _add_pictures(stages) -> None:
    parser = stages.add_parser("negatives", help="manifest and contact sheet of a negative set")
    parser.add_argument("--config", type=Path, required=True, help="run config (json)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument("--against", nargs="*", default=[], metavar="DATASET/SPLIT",
                        help="sets that no negative may be taken from")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.set_defaults(run=_negatives)
    parser = stages.add_parser("picture", help="contact sheet of negatives or of views")
    parser.add_argument("kind", choices=PICTURES)
    parser.add_argument("--configs", type=Path, nargs="+", required=True, help="run configs (json)")
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument("--output", type=Path, required=True, help="path without suffix")
    parser.set_defaults(run=_picture)


def _negatives(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.figures.pictures import write_negative_set

    write_negative_set(read_json(options.config), options.data, options.against, options.output)


def _picture(options: argparse.Namespace) -> None:
    from ssl_ood.common.files import read_json
    from ssl_ood.report.figures import pictures

    negatives = options.kind == "figure_negatives"
    draw = pictures.negatives_figure if negatives else pictures.views_figure
    configs = [read_json(path) for path in options.configs]
    draw(configs, read_json(options.spec), options.data, options.output)


def _add_show(stages) -> None:
    parser = stages.add_parser("show", help="print a table of the results in the terminal")
    parser.add_argument("table", type=Path, help="the .md or .csv file of a table")
    parser.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> None:
    path = options.table.with_suffix(".md")
    if not path.exists():
        raise UserError(f"There is no table {path}: make it with `snakemake {path.stem}`.")
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
