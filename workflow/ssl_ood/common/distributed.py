"""One training on several devices: what `torchrun` starts, reduced to three calls.

Every process draws the views of the whole batch's images and works on its own rows; gradients and
the centre are averaged. So the result is that of one process with the same effective batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = 30.0  # minutes that a process waits for the others


def world() -> tuple[int, int]:
    """(rank, number of processes) as torchrun tells; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group(device: torch.device, wait_minutes: float = 0.0) -> Iterator[None]:
    """Joins the processes of torchrun, if there are several, for the length of the block.

    The first of them may take `wait_minutes` before it joins.
    """
    if world()[1] == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        timeout=timedelta(minutes=wait_minutes + PATIENCE),
    )
    try:
        any_process(False, device)  # here, not at the first exchange, they wait for the first
        yield
    finally:
        dist.destroy_process_group()


def average(tensors: list[Tensor]) -> None:
    """Replaces every tensor by its mean over the processes, in one exchange."""
    _, processes = world()
    if processes == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1).float() for t in tensors])
    dist.all_reduce(flat)
    flat /= processes
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def gather(tensor: Tensor) -> Tensor:
    """The rows of every process, (processes * n, ...), in the order of their ranks."""
    _, processes = world()
    if processes == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(processes)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


class StopVote:
    """Whether any process wants to stop, without waiting for the step that was just begun.

    The vote travels with the gradients of a step (`votes`, averaged by it) and is read after the
    next one: the host waits for a step that the device has behind it or nearly so. All processes
    read the same value after the same step, so that all leave together or none.
    """

    def __init__(self, votes: Tensor) -> None:
        self.votes = votes
        self.before: Tensor | None = None

    def after_step(self, asked_here: bool) -> bool:
        """Whether to leave here; `asked_here` is this process's wish."""
        if world()[1] == 1:
            return asked_here
        counted, self.before = self.before, self.votes.clone()
        self.votes.fill_(float(asked_here))
        return counted is not None and bool(counted.item() > 0)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any of the processes: all leave together or none."""
    if world()[1] == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def all_agree(number: int, device: torch.device) -> bool:
    """Whether the number is the same in all processes."""
    if world()[1] == 1:
        return True
    ends = torch.tensor([number, -number], device=device)
    dist.all_reduce(ends, op=dist.ReduceOp.MAX)
    highest, lowest = ends.tolist()
    return highest == -lowest


def local_rank() -> int:
    """Number of this process on its node: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))
