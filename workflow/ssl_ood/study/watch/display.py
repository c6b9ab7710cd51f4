"""What is shown, and the display where the output is not a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from ssl_ood.common.progress import clock
from ssl_ood.study.watch.jobs import Jobs
from ssl_ood.study.watch.trainings import describe_training

SOONEST, LATEST = 10.0, 60.0  # seconds between two lines


@dataclass(frozen=True)
class Picture:
    """What a display shows: `jobs` is None where no command is followed; times in seconds."""

    jobs: Jobs | None
    elapsed: float
    left: float | None
    trainings: list[dict[str, Any]]


class Display(Protocol):
    """Where pictures and sentences go."""

    def show(self, picture: Picture) -> None:
        """Shows how far the jobs and the trainings are, if it is time to."""

    def say(self, text: str) -> None:
        """Prints `text` for good."""

    def close(self) -> None:
        """Leaves nothing but what was said."""


def describe_jobs(jobs: Jobs, elapsed: float, left: float | None) -> str:
    """`12 of 57 jobs, 1:32 elapsed, about 5:40 left`."""
    if not jobs.total:
        return f"counting the jobs, {clock(elapsed)} elapsed"
    text = f"{jobs.done} of {jobs.total} jobs, {clock(elapsed)} elapsed"
    return text if left is None else f"{text}, about {clock(left)} left"


class Lines:
    """A line whenever jobs were done, not too often, and now and then in any case."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.shown, self.done = out, -math.inf, -1

    def show(self, picture: Picture) -> None:
        """Prints one line, if it is time for one."""
        jobs = picture.jobs
        done = jobs.done if jobs else 0
        quiet = time.monotonic() - self.shown
        if quiet < SOONEST or (done == self.done and quiet < LATEST) or (jobs and not jobs.total):
            return
        self.shown, self.done = time.monotonic(), done
        parts = [describe_jobs(jobs, picture.elapsed, picture.left)] if jobs else []
        for training in picture.trainings:
            parts.append(f"{training['run']}: {describe_training(training).replace('  ', ', ')}")
        self.say("; ".join(parts))

    def say(self, text: str) -> None:
        """Prints `text`."""
        print(text, file=self.out, flush=True)

    def close(self) -> None:
        """Nothing is left to clear."""


class Guarded:
    """A display that outlives its output: `gone` says that nobody reads it any more."""

    def __init__(self, display: Display) -> None:
        self.display, self.gone = display, False

    def show(self, picture: Picture) -> None:
        """Shows it, if it can."""
        self._try(lambda: self.display.show(picture))

    def say(self, text: str) -> None:
        """Prints it, if it can."""
        self._try(lambda: self.display.say(text))

    def close(self) -> None:
        """Closes the display, if it can."""
        self._try(self.display.close)

    def _try(self, action: Callable[[], None]) -> None:
        if not self.gone:
            try:
                action()
            except BrokenPipeError:
                self.gone = True
            except OSError:  # a full disk, a terminal that is hung up
                pass
