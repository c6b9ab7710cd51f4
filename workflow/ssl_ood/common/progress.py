"""How far something is: a loop shows it on stderr, a training writes it to a file for `watch`.

One vocabulary for both: `done` of a `total` (a training counts steps), so many a second, so much
time left.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_ood.common.files import atomic_path

BARS = "▁▂▃▄▅▆▇█"
EVERY = 15.0  # seconds between two lines where the output is not a terminal
REFRESH = 0.1  # seconds between two pictures on a terminal


class Progress:
    """Counts up to `total` (None: unknown) in `unit` ("B" for bytes), from `initial`.

    A line on a terminal that is written over, else a line now and then.
    """

    def __init__(self, title: str, total: int | None, unit: str, initial: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.initial = initial
        self.start = self.shown = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.terminal:
            self._rewrite("")

    def add(self, amount: int) -> None:
        """Counts `amount` more; shows it if it is time."""
        self.done += amount
        if time.monotonic() - self.shown < (REFRESH if self.terminal else EVERY):
            return
        self.shown = time.monotonic()
        if self.terminal:
            self._rewrite(self.line())
        else:
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """'cifar10: 40.0 of 162.6 MiB, 3.1 MiB/s, 0:40 left'."""
        speed = (self.done - self.initial) / max(time.monotonic() - self.start, 1e-9)
        amount = self._number(self.done)
        if self.total:
            amount += f" of {self._number(self.total)}"
        unit = "MiB" if self.unit == "B" else self.unit
        text = f"{self.title}: {amount} {unit}, {self._number(speed)} {unit}/s"
        if self.total and speed > 0:
            text += f", {clock((self.total - self.done) / speed)} left"
        return text

    def _number(self, value: float) -> str:
        return f"{value / 2**20:,.1f}" if self.unit == "B" else f"{value:,.0f}"

    def _rewrite(self, text: str) -> None:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            print(f"\r{text[: width - 1]}\x1b[K", end="", file=sys.stderr, flush=True)


def write_progress(path: Path, **fields: Any) -> None:
    """Writes how far a training is: `fields`, the time, the process and the host, as JSON.

    A reader never sees half a file; it is not forced to the disk, since it is soon out of date. A
    full disk costs the display, not the training.
    """
    fields = {name: _strict(value) for name, value in fields.items()}
    fields |= {"updated": time.time(), "pid": os.getpid(), "host": socket.gethostname()}
    with contextlib.suppress(OSError), atomic_path(Path(path), durable=False) as partial:
        partial.write_text(json.dumps(fields, allow_nan=False), encoding="utf-8")


def describe_probe(seen: dict[str, Any] | None) -> list[str]:
    """`10-NN 34.1 %`, `sensitivity 0.502`: what was seen of a training's features, if anything."""
    named = (("knn_accuracy", "10-NN {:.1%}"), ("sensitivity", "sensitivity {:.3f}"))
    return [words.format(seen[key]) for key, words in named if seen and key in seen]


def sparkline(values: Sequence[float]) -> str:
    """Values from 0 to 1 as bars of eight heights; larger and smaller ones are cut."""
    return "".join(BARS[min(max(int(8 * value), 0), 7)] for value in values)


def _strict(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34, 1:02:03 or 2 d 03 h."""
    minutes, second = divmod(round(max(seconds, 0.0)), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
