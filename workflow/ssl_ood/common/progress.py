"""Progress of a long loop: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time

EVERY = 15.0  # seconds between two lines where the output is no terminal


class Progress:
    """Counts up to `total` (None: unknown) in `unit` ("B" for bytes), from `initial`."""

    def __init__(self, title: str, total: int | None, unit: str, initial: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.initial = initial
        self.start = self.said = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                desc=title, total=total, initial=initial, unit=unit, unit_scale=True, leave=False
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, amount: int) -> None:
        """Counts `amount` more; shows it if it is time."""
        self.done += amount
        if self.bar is not None:
            self.bar.update(amount)
        elif time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """'cifar10: 40.0 of 162.6 MiB, 3.1 MiB/s, 0:00:40 left'."""
        speed = (self.done - self.initial) / max(time.monotonic() - self.start, 1e-9)
        amount = self._number(self.done)
        if self.total:
            amount += f" of {self._number(self.total)}"
        unit = "MiB" if self.unit == "B" else self.unit
        text = f"{self.title}: {amount} {unit}, {self._number(speed)} {unit}/s"
        if self.total and speed > 0:
            left = max(self.total - self.done, 0) / speed
            text += f", {int(left // 3600)}:{int(left // 60 % 60):02d}:{int(left % 60):02d} left"
        return text

    def _number(self, value: float) -> str:
        return f"{value / 2**20:,.1f}" if self.unit == "B" else f"{value:,.0f}"
