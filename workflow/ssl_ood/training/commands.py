"""The command line's `train` and `speed`. Nothing heavy is imported before they run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ssl_ood.common import devices
from ssl_ood.common.slurm import write_down_job

SHUTDOWN_SECONDS = 110  # that torchrun waits for its processes after SIGTERM; a job gets 120


def add_parsers(stages) -> None:
    """Adds the subcommand to the parser of `ssl_ood`."""
    parser = stages.add_parser("train", help="train one run, or resume it")
    parser.add_argument("--config", type=Path, required=True, help="run config (json)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed sets")
    parser.add_argument("--output", type=Path, required=True, help="folder for the model")
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--initial", type=Path, help="weights that the backbone starts from")
    parser.add_argument("--progress", type=Path, help="file to report the progress to")
    parser.add_argument(
        "--devices", type=int, default=1, help="devices of this machine to train on (default: 1)"
    )
    # How a job runs reaches it from the workflow through the environment, not by its command.
    setting = os.environ.get
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=setting("SSL_OOD_CHECKPOINT_MINUTES", "10"),
        help="minutes between two checkpoints",
    )
    parser.add_argument(
        "--micro-batch",
        type=_micro_batch,
        default=setting("SSL_OOD_MICRO_BATCH"),
        help="images that a device works on at a time, or auto: as many as its memory holds",
    )
    parser.add_argument(
        "--compile",
        choices=("true", "false"),
        default=setting("SSL_OOD_COMPILE", "false"),
        help="compile the networks with torch.compile (default: false)",
    )
    parser.add_argument(
        "--wait-minutes",
        type=float,
        default=setting("SSL_OOD_WAIT_MINUTES", "0"),
        help="how long to wait for another process that trains this run (default: not at all)",
    )
    for name, kind, default, words in (
        ("epochs", int, "1", "epochs between two looks at the features, 0: none"),
        ("images", int, "2000", "images of such a look, at most"),
        ("share", float, "0.02", "largest share of the training's time that they take"),
    ):
        given = setting(f"SSL_OOD_PROBE_{name.upper()}", default)
        parser.add_argument(f"--probe-{name}", type=kind, default=given, help=words)
    devices.add_arguments(parser)
    parser.set_defaults(run=_train)
    parser = stages.add_parser("speed", help="images per second of a run, by a few steps")
    parser.add_argument(
        "configs", nargs="+", metavar="CONFIG", help="run configs; - is a JSON list of them"
    )
    parser.add_argument("--micro-batch", type=_micro_batch, default=setting("SSL_OOD_MICRO_BATCH"))
    devices.add_arguments(parser)
    parser.set_defaults(run=_speed)


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
    from ssl_ood.methods.settings import read_run
    from ssl_ood.training.probe import ProbePlan
    from ssl_ood.training.trainer import train

    settings = read_run(read_json(options.config))
    if os.environ.get("RANK", "0") == "0":
        write_down_job(settings.run)
    train(
        settings,
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
        probe=ProbePlan(options.probe_epochs, options.probe_images, options.probe_share),
    )


def _speed(options: argparse.Namespace) -> None:
    """Prints a line of JSON for each run: its device, its images per second."""
    from ssl_ood.common.files import read_json
    from ssl_ood.methods.settings import read_run
    from ssl_ood.training.provenance import device_name
    from ssl_ood.training.speed import images_per_second

    device = devices.chosen(options)
    configs = json.load(sys.stdin) if options.configs == ["-"] else map(read_json, options.configs)
    for config in configs:
        settings = read_run(config)
        told_of = {
            "run": settings.run,
            "device": device_name(device),
            "gpu": device.type == "cuda",
            "images_per_second": images_per_second(settings, device, options.micro_batch),
        }
        print(json.dumps(told_of), flush=True)


def _micro_batch(text: str) -> int | str:
    if text == "auto":
        return text
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be auto, or at least 1")
    return number
