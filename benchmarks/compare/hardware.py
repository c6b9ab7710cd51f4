"""What the device can do, and how much memory a piece of work takes at its highest."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from compare.timing import now


def describe(device: torch.device) -> dict:
    """The device, its threads and the versions that a speed depends on."""
    import timm
    import torchvision

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "kind": device.type,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def matmul_peak(device: torch.device, side: int, repeats: int = 5) -> list[float]:
    """Floating-point operations a second of a square matrix product, by repetition.

    bfloat16 on CUDA, float32 on a CPU: what the step multiplies in there.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(side, side, device=device).to(dtype)
    b = torch.randn(side, side, device=device).to(dtype)
    out = torch.empty_like(a)
    calls = 20 if device.type == "cuda" else 2
    speeds = []
    for repetition in range(repeats + 1):
        start = now(device)
        for _ in range(calls):
            torch.matmul(a, b, out=out)
        seconds = now(device) - start
        if repetition:
            speeds.append(calls * 2 * side**3 / seconds)
    return speeds


def peak_memory(function: Callable[[], object], device: torch.device) -> int:
    """Bytes at the highest while `function` runs.

    On CUDA what PyTorch had allocated; on a CPU the resident memory of this process (not of the
    workers), read every few milliseconds.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    highest, done = _resident(), threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
    finally:
        done.set()
        watcher.join()
    return max(highest, _resident())


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
