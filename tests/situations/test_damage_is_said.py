"""Files damaged at random: a sentence, or what can still be read; never a crash, hang or bomb.

The long version is `make prove`.
"""

from __future__ import annotations

import pytest
from support.bounded import bounded
from support.damaged import KINDS, PEAK, fuzz

TRIED = {"zip": 150, "npy": 300}


@pytest.mark.parametrize("kind", KINDS)
def test_only_sentences_come_out_of_damaged_files(kind):
    outcome = bounded(lambda: fuzz(kind, TRIED.get(kind, 50)))
    assert outcome.ended is None
    assert outcome.value.faults == []
    assert outcome.value.sentences > 0 and outcome.peak < PEAK
