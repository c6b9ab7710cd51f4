"""Repetitions of two sides in turn, and what is said of them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import psutil
import torch


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of the repetitions."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.low)} to {number(self.high)})"


def spread(values: list[float]) -> Spread:
    """The spread of a list of values that is not empty."""
    return Spread(median(values), min(values), max(values))


def number(value: float) -> str:
    """Three significant digits, thousands apart: 1,230 or 0.0123."""
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:#.3g}".rstrip(".")


@dataclass(frozen=True)
class Comparison:
    """The repetitions of one part, in seconds, ours and usual in turn.

    items: what a repetition of either side works through, such as images; the ratio is of one
    repetition of ours to the one of the usual way right after it, so that a machine that slows down
    spoils neither.
    """

    part: str
    unit: str
    items: tuple[float, float]
    ours: list[float]
    usual: list[float]
    note: str = ""

    @property
    def speed(self) -> dict[str, Spread]:
        """Items a second of either side."""
        return {
            side: spread([items / s for s in seconds])
            for side, items, seconds in zip(
                ("ours", "usual"), self.items, (self.ours, self.usual), strict=True
            )
        }

    @property
    def ratio(self) -> Spread:
        """How many times as fast ours is."""
        more = self.items[0] / self.items[1]
        return spread([more * u / o for o, u in zip(self.ours, self.usual, strict=True)])

    def record(self) -> dict:
        """All of it for json."""
        return {
            "part": self.part, "unit": self.unit, "note": self.note,
            "items": dict(zip(("ours", "usual"), self.items, strict=True)),
            "seconds": {"ours": self.ours, "usual": self.usual},
            **{f"{side}_per_second": vars(value) for side, value in self.speed.items()},
            "ratio": vars(self.ratio),
        }  # fmt: skip


def compare(
    part: str,
    unit: str,
    items: tuple[float, float],
    ours: Callable[[], float],
    usual: Callable[[], float],
    repeats: int,
    note: str = "",
) -> Comparison:
    """Ours, usual, ours, usual ...: `repeats` times each, after one of each that is not counted.

    Both return the seconds that they took for their `items`.
    """
    times: dict[str, list[float]] = {"ours": [], "usual": []}
    for repetition in range(repeats + 1):
        say(f"{part}: " + (f"repetition {repetition} of {repeats}" if repetition else "warming up"))
        for side, function in (("ours", ours), ("usual", usual)):
            seconds = function()
            if repetition:
                times[side].append(seconds)
    found = Comparison(part, unit, items, **times, note=note)
    say("")
    return found


def say(text: str) -> None:
    """Progress on stderr: one line that is written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


CLOCKS = ("wall", "processor")
_clock = CLOCKS[0]


def use_clock(name: str) -> None:
    """Which clock `now` reads: "wall", or "processor", the seconds that this process and those that
    it started have used of a processor, which neighbours on the machine hardly change."""
    global _clock
    _clock = name


def now(device: torch.device) -> float:
    """Seconds on the clock, after all that the device was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() if _clock == "wall" else _processor_seconds()


def _processor_seconds() -> float:
    """Of this process, its threads and the workers that it has, now and before."""
    ended = os.times()
    spent = time.process_time() + ended.children_user + ended.children_system
    for worker in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            used = worker.cpu_times()
            spent += used.user + used.system
    return spent


def timed(function: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """A function that calls `function` and returns the seconds it took."""

    def run() -> float:
        start = now(device)
        function()
        return now(device) - start

    return run
