"""The device that a stage works on: what the workflow or a person asked for, or an error.

A stage that was to have a GPU and finds none must not go on on the processor: a training would use
up its time limit, at every try.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError

if TYPE_CHECKING:
    import torch

CLAIMS: list[contextlib.ExitStack] = []  # the locks of this process's GPUs, until it ends


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


def claim_gpus(wanted: int) -> None:
    """Shows this process, and what it becomes or starts, `wanted` GPUs that no other one of ours
    uses; all of them where a cluster or a person has chosen already, or where there are no more.

    Several jobs of one machine would else all work on its first GPU. A claim ends with the process.
    """
    import torch

    from ssl_ood.common.slurm import job_id

    there = torch.cuda.device_count()
    if not 0 < wanted < there or "CUDA_VISIBLE_DEVICES" in os.environ or job_id():
        return
    claimed = []
    with contextlib.ExitStack() as held:
        for gpu in range(there):
            path = Path(tempfile.gettempdir()) / f"ssl_ood-{os.getuid()}-gpu{gpu}"
            with contextlib.suppress(locks.Busy):
                # Inheritable: torchrun, which this process may become, goes on holding it.
                held.enter_context(locks.exclusive(path, f"using GPU {gpu}", inheritable=True))
                claimed.append(gpu)
            if len(claimed) == wanted:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, claimed))
                CLAIMS.append(held.pop_all())
                return


def chosen(options: argparse.Namespace) -> torch.device:
    """The device of this process. Raises UserError where a GPU is asked for and there is none."""
    import torch

    from ssl_ood.common.distributed import local_rank, world

    if options.device != "cpu" and world()[1] == 1:  # else torchrun's parent has
        claim_gpus(1)
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
