"""What a licence of the catalogue forbids, in words, and which of several forbids most.

A help to the reader, not legal advice: whether weights are a work derived from the images that they
were trained on is disputed, so what holds for the images is carried over to all that is made of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """A kind of licence. rank: larger forbids more; forbids: what, as a sentence."""

    kind: str
    rank: int
    forbids: str


FREE = Terms("free", 0, "Nothing but leaving out the credit to its authors.")
UNSTATED = Terms(
    "not stated",
    1,
    "Its owner states no licence, so that nothing is allowed for sure: ask the owner before what "
    "was made from it is passed on or sold.",
)
OWN = Terms("terms of its own", 2, "Whatever its terms do not allow: read them first.")
NON_COMMERCIAL = Terms(
    "non-commercial", 3, "Commercial use: only research and other non-commercial use is allowed."
)
AGREEMENT = Terms(
    "agreement",
    4,
    "Passing images on, and any use beyond the agreement that was made to get them: who has not "
    "made it may not use what was made from them either, without asking the owner.",
)
# Words of a licence, by the kind that they tell; the first kind of which one is there holds.
_WORDS = (
    (AGREEMENT, r"no redistribution|agreement|rules of the competition|on request"),
    (NON_COMMERCIAL, r"\bnc\b|-nc\b|non-?commercial|research|academic"),
    (OWN, r"-sa\b|-nd\b|gpl"),
    (FREE, r"^(mit|bsd|apache|cc0|cc by|public domain|free)\b"),
)


def terms_of(licence: str | None) -> Terms:
    """The terms of a licence as the catalogue words it; None: none is stated."""
    if licence is None:
        return UNSTATED
    matching = (terms for terms, words in _WORDS if re.search(words, licence.lower()))
    return next(matching, OWN)


def most_restrictive(terms: Iterable[Terms]) -> Terms:
    """The one that forbids most; `FREE` of none at all."""
    return max(terms, key=lambda one: one.rank, default=FREE)
