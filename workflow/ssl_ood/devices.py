"""The device that a stage works on: what the workflow or a person asked for, or an error.

A stage that was to have a GPU and finds none must not go on on the processor: a training would use
up its time limit, at every try.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ssl_ood.errors import UserError

if TYPE_CHECKING:
    import torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --device and --threads; the workflow tells the device through the environment."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default=os.environ.get("SSL_OOD_DEVICE", "auto"),
        help="auto: a GPU if there is one (default)",
    )
    parser.add_argument(
        "--threads", type=int, help="CPU threads, of all processes together (default: all)"
    )


def chosen(options: argparse.Namespace) -> torch.device:
    """The device of this process. Raises UserError where a GPU is asked for and there is none."""
    import torch

    from ssl_ood.distributed import local_rank, world

    if options.threads:
        torch.set_num_threads(max(options.threads // world()[1], 1))
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.device_count() <= local_rank():
        raise UserError(
            f"This job was to have {local_rank() + 1} GPU(s) and PyTorch finds "
            f"{torch.cuda.device_count()}: look at the driver, at what the job was given and at "
            "the installed PyTorch, or set execution.devices to 0 to use the processor."
        )
    return torch.device("cuda", local_rank())
