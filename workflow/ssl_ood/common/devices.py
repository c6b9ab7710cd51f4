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
from ssl_ood.common.log import say

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


def usable_cores() -> int:
    """Cores that this process may use: of those that a cluster gave it, where the system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS has no such call
        return os.cpu_count() or 1


def claim_gpus(count: int) -> None:
    """Shows this process, and what it becomes or starts, `count` GPUs that no other one of ours
    uses; all of them where a cluster or a person has chosen already, or where there are no more.

    Several jobs of one machine would else all work on its first GPU. A claim ends with the process.
    """
    import torch

    from ssl_ood.common.slurm import job_id

    there = torch.cuda.device_count()
    if not 0 < count < there or "CUDA_VISIBLE_DEVICES" in os.environ or job_id():
        return
    claimed = []
    with contextlib.ExitStack() as held:
        for gpu in range(there):
            path = Path(tempfile.gettempdir()) / f"ssl_ood-{os.getuid()}-gpu{gpu}"
            with contextlib.suppress(locks.Busy):
                # Inheritable: torchrun, which this process may become, goes on holding it.
                held.enter_context(locks.exclusive(path, f"using GPU {gpu}", inheritable=True))
                claimed.append(gpu)
            if len(claimed) == count:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, claimed))
                CLAIMS.append(held.pop_all())
                return


def driver_version() -> tuple[int, int] | None:
    """The newest CUDA that this machine's driver runs, such as (13, 0); None without a driver."""
    import ctypes

    version = ctypes.c_int(0)
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)):
            return None
    except (OSError, AttributeError):
        return None
    return (version.value // 1000, version.value % 1000 // 10) if version.value else None


def driver_problem(driver: tuple[int, int] | None, built_for: str | None) -> str | None:
    """Why a GPU cannot be used, as a sentence, or None; built_for: the CUDA of the installed torch.

    Within one major version of CUDA an older driver will do.
    """
    if driver is None or built_for is None:
        return None
    if driver[0] >= int(built_for.partition(".")[0]):
        return None
    return (
        f"The installed PyTorch is built for CUDA {built_for} and this machine's driver runs CUDA "
        f"{driver[0]}.{driver[1]} at most: install a newer driver, or a PyTorch that is built for "
        f"CUDA {driver[0]}."
    )


def describe_driver() -> str:
    """The machine's CUDA driver beside the CUDA of the installed torch, for a person to read."""
    import torch

    driver, built_for = driver_version(), torch.version.cuda
    if problem := driver_problem(driver, built_for):
        return problem
    here = "no CUDA driver" if driver is None else f"a driver of CUDA {driver[0]}.{driver[1]}"
    build = f"built for CUDA {built_for}" if built_for else "built without CUDA"
    return f"PyTorch {torch.__version__} is {build}; this machine has {here}."


def chosen(options: argparse.Namespace) -> torch.device:
    """The device of this process. Raises UserError where a GPU is asked for and there is none."""
    import torch

    from ssl_ood.common.distributed import local_rank, world

    if options.device != "cpu" and world()[1] == 1:  # else torchrun's parent has
        claim_gpus(1)
    if options.threads:
        torch.set_num_threads(max(options.threads // world()[1], 1))
    name = options.device
    problem = driver_problem(driver_version(), torch.version.cuda) if name != "cpu" else None
    if problem and name == "cuda":
        raise UserError(problem)
    if problem:
        say(f"WARNING: {problem} The processor is used.")
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
