"""Signs of whether a training learns, judged by the numbers of its log every so many steps.

A method declares its signs (`Method.signs`); the trainer's monitor asks them. A sign is a pure
function of the lines so far, each with the means since the line before, so that a training that was
resumed is judged as one that was not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

Lines = Sequence[Mapping[str, float]]

EARLY_SHARE, EARLY_STEPS = 0.02, 500  # of a training within which it is said that it goes wrong
INTERVALS = 20  # lines of that part
RECENT = 3  # lines in a row that show something
SURE = INTERVALS // 2  # lines in a row that make it certain
GROWTH = 1.05  # factor between the means of the last RECENT lines and of those before: it grows
NOTHING = 0.005  # share of the way from knowing nothing to certainty that is as good as none
LITTLE = 0.08  # share below which what goes back to nothing is told; healthy ones dip to 0.13
LESS = 0.5  # of what an untrained network says: a training that stays below it says too little
DEAD = 1e-3  # share at which so little is left that it does not come back by itself
FEW, ONE = 0.15, 0.05  # shares of log K below which the mean output is few, or one, soft-classes
LATEST = 0.5  # share of the steps after which a training that has learned nothing is given up


@dataclass(frozen=True)
class Span:
    """The length of a training in steps, those in which its learning rate rises, and those between
    two lines of its signs."""

    steps: int
    warmup: int = 0

    @property
    def early(self) -> int:
        """Steps within which it is said that a training goes wrong."""
        return min(max(round(EARLY_SHARE * self.steps), EARLY_STEPS), max(self.steps, 1))

    @property
    def every(self) -> int:
        """Steps between two lines: each waits for the device once."""
        return max(self.early // INTERVALS, 1)

    def settled(self, step: int) -> bool:
        """Whether the full rate had as many steps to work as the early part has."""
        return step >= self.warmup + self.early


@dataclass(frozen=True)
class Finding:
    """What a sign says: what is wrong and what to change; certain: no step will mend it."""

    text: str
    certain: bool = False


class Sign(Protocol):
    """One way in which a training goes wrong."""

    def judge(self, lines: Lines, span: Span) -> Finding | None:
        """What the lines say, None where nothing is wrong; called after every line."""


@dataclass(frozen=True)
class StaysAtChance:
    """A number that stays at, or goes back to, the value that it has where nothing is known.

    key: the number; level: that value, > 0, at which the number is largest; words: what is wrong
    there; going: what is wrong on the way there; near: what is wrong where it stops short of it,
    empty for a number that says nothing at the start; change: what to change. What is looked at is
    the distance from the level, as a share of it. A distance that grows, however small, is a
    training that begins to learn: it is left alone. Told is one that is as good as zero, or falls
    towards it, or stays at less than half of what it was at the start, which is never certain.
    Certain is one that has not grown for long and is hardly there any more, a while after the
    warm-up, or is as good as zero after half of the training.
    """

    key: str
    level: float
    words: str
    going: str
    change: str
    near: str = ""

    def judge(self, lines: Lines, span: Span) -> Finding | None:
        left = [1 - line[self.key] / self.level for line in lines]
        sentence = self._said(left, span)
        if sentence is None:
            return None
        words, so = sentence
        last = lines[-1]
        text = (
            f"{words} ({self.key.replace('_', ' ')} {last[self.key]:.4f} of at most "
            f"{self.level:.4f} at step {last['step']}): {so}. {self.change}"
        )
        long = left[-SURE:]
        long_so = len(long) == SURE and max(long) < NOTHING and not grows_at_all(long)
        dead = max(long) < DEAD and span.settled(last["step"])
        late = last["step"] > LATEST * span.steps
        return Finding(text, words != self.near and long_so and (dead or late))

    def _said(self, left: Sequence[float], span: Span) -> tuple[str, str] | None:
        """What is wrong and what follows from it; left: the distances so far."""
        if len(left) < 2 * RECENT:
            return None
        if not grows(left):
            if max(left[-RECENT:]) < NOTHING:
                return self.words, "nothing is learned"
            if goes_back(left):
                return self.going, "what was learned is lost"
        # In a shorter training the first lines are of the steps that only a centre takes to settle.
        if self.near and span.early >= EARLY_STEPS and stays_low(left):
            return self.near, "they say less than half of what those of the untrained network did"
        return None


@dataclass(frozen=True)
class Collapses:
    """The entropy of the mean output falls: all images get the same few soft-classes, or one.

    key: that entropy; level: its largest value, log K; change: what to change.
    """

    key: str
    level: float
    change: str

    def judge(self, lines: Lines, span: Span) -> Finding | None:
        share = [line[self.key] / self.level for line in lines]
        if len(share) < 2 * RECENT or max(share[-RECENT:]) >= FEW or grows(share):
            return None
        long, last = share[-SURE:], lines[-1]
        certain = len(long) == SURE and max(long) < ONE and not grows_at_all(long)
        one = max(share[-RECENT:]) < ONE
        return Finding(
            f"the teacher has collapsed to {'one soft-class' if one else 'few soft-classes'} "
            f"(entropy of the mean output {last[self.key]:.3f} of log K = {self.level:.2f} nats at "
            f"step {last['step']}). {self.change}",
            certain,
        )


@dataclass(frozen=True)
class DoesNotFall:
    """A loss that does not fall, or rises far: for any method whose loss can be compared over time.

    Never certain: what a loss may become is known of no method in general.
    """

    key: str = "loss"

    def judge(self, lines: Lines, span: Span) -> Finding | None:
        values = [line[self.key] for line in lines]
        first = values[:RECENT]
        if len(values) < INTERVALS or lines[-1]["step"] <= span.warmup // 2:
            return None
        noise = statistics.median(abs(b - a) for a, b in pairwise(values))
        change = statistics.fmean(values[-RECENT:]) - statistics.fmean(first)
        place = f"of the last steps {values[-1]:.4f}, of the first {first[0]:.4f}"
        if change > 10 * noise and min(values[-RECENT:]) > max(first):
            return Finding(
                f"the loss rises ({place}, at step {lines[-1]['step']}). Lower training.lr_base, "
                "or raise training.warmup_epochs."
            )
        if change >= -noise and noise + abs(change) > 0:
            return Finding(
                f"the loss does not fall ({place}, at step {lines[-1]['step']}). Raise "
                "training.lr_base, or lower it where the loss jumps."
            )
        return None


def goes_back(values: Sequence[float]) -> bool:
    """Whether the values have fallen, and still fall, to little of what they were."""
    now, before = values[-RECENT:], values[-2 * RECENT : -RECENT]
    falls = statistics.fmean(now) < statistics.fmean(before)
    return falls and max(now) < min(LITTLE, max(values[-INTERVALS:]) / 3)


def stays_low(values: Sequence[float]) -> bool:
    """Whether the last values are all below half of what the first were, and do not grow for long.

    Healthy trainings dip too while the rate is at its highest, but less deep, and then grow.
    """
    first, now = values[:RECENT], values[-2 * RECENT :]
    low = len(values) >= RECENT + len(now) and max(now) < LESS * statistics.median(first)
    return low and not grows_at_all(values[-SURE:])


def grows(values: Sequence[float]) -> bool:
    """Whether the mean of the last few values is clearly larger than that of those before."""
    now, before = values[-RECENT:], values[-2 * RECENT : -RECENT]
    return statistics.fmean(now) > GROWTH * statistics.fmean(before) and math.fsum(now) > 0


def grows_at_all(values: Sequence[float]) -> bool:
    """Whether the mean of their second half is clearly larger than that of the first."""
    half = len(values) // 2
    first, second = statistics.fmean(values[:half]), statistics.fmean(values[half:])
    return second > GROWTH * first and second > 0
