"""The three verdicts, and how an interval gives one of them.

A verdict is sure in either direction or it is `UNDECIDED`. With an interval of the same width, a
larger lead never makes a verdict worse: from `FAILS` over `UNDECIDED` to `HOLDS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from ssl_ood.report.results import Summary

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
UNKNOWN = "not measurable with these data"
# A measured number this near to the thesis's agrees with it, in points; of an effect, half of it
# at most, so that no agreement reaches to nothing.
TOLERANCE = 1.0
# Points: a difference this small is "on par". The gains that the thesis calls gains are larger,
# from 1.4 (batches, chapter 5) and 1.55 (rotated negatives, chapter 6) on.
ON_PAR = 1.0
# What the thesis chose by looking at the OOD sets that it then reports.
SELECTED = "shift and score were chosen by the test AUROC itself, so that it is too high"


class Finding(NamedTuple):
    """HOLDS, FAILS or UNDECIDED; the measurement in words (empty: told from the summary); why."""

    verdict: str
    text: str
    reason: str
    summary: Summary | None = None


class NotMeasurable(Exception):
    """Says in a few words what is missing; `summary` and `text` are what was measured anyway."""

    def __init__(self, reason: str, summary: Summary | None = None, text: str = "") -> None:
        super().__init__(reason)
        self.reason, self.summary, self.text = reason, summary, text


def ahead(summary: Summary, least: float = 0.0) -> str:
    """The verdict on "more than `least`"."""
    if summary.low > least:
        return HOLDS
    return FAILS if summary.high <= least else UNDECIDED


def at_most(summary: Summary, limit: float) -> str:
    """The verdict on "`limit` at most"."""
    if summary.high <= limit:
        return HOLDS
    return FAILS if summary.low > limit else UNDECIDED


def every(verdicts: Iterable[str]) -> str:
    """The verdict on all of several claims at once; on none at all it is open."""
    distinct = set(verdicts) or {UNDECIDED}
    return next((v for v in (FAILS, UNDECIDED) if v in distinct), HOLDS)


def open_because(summary: Summary, limit: float = 0.0) -> str:
    """Why an interval leaves a verdict open; nothing where it does not."""
    if math.isnan(summary.low):
        return "one seed, and no interval over images for this measure"
    if summary.low <= limit <= summary.high:
        return f"the interval over {summary.over} includes {limit:g}"
    return ""


def because(*reasons: str) -> str:
    """Reasons as one text; empty ones are left out."""
    return "; ".join(filter(None, reasons))


def judged(summary: Summary, reported: float | None, more: str = "") -> Finding:
    """A difference that should be positive and, where the thesis's number counts, reach it."""
    lead, same = ahead(summary), summary.mean == 0
    why = {FAILS: "there is no difference" if same else "it has the other sign"}.get(lead, "")
    verdict, words = lead, ""
    if reported is not None:
        reached, words = reaches(summary, reported)
        verdict = every([lead, reached])
    return Finding(verdict, "", because(more, open_because(summary), why, words), summary)


def reaches(summary: Summary, reported: float) -> tuple[str, str]:
    """The verdict on a lead as large as the thesis's, and why: a larger one reaches it, too."""
    tolerance = min(TOLERANCE, abs(reported) / 2)
    verdict, words = agrees(summary, reported, tolerance)
    if verdict != HOLDS and summary.mean > reported:
        return HOLDS, f"{words} (larger)"
    return verdict, words


def agrees(summary: Summary, reported: float, tolerance: float = TOLERANCE) -> tuple[str, str]:
    """The verdict on a measured number being the thesis's, and why.

    It is where its interval contains that number or it lies within the tolerance of it; it is not
    where all of its interval lies beyond the tolerance.
    """
    if summary.low <= reported <= summary.high:
        return HOLDS, "the thesis's number lies in the interval"
    points = f"{tolerance:.2g} point" + "s" * (tolerance != 1)
    if abs(summary.mean - reported) <= tolerance:
        return HOLDS, f"within {points} of the thesis's number"
    words = f"more than {points} from the thesis's number"
    if summary.high < reported - tolerance or summary.low > reported + tolerance:
        return FAILS, words
    return UNDECIDED, f"{words}, but not all of its interval is"
