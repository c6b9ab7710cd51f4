"""How an interval becomes a verdict: for any lead, width and claimed number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_ood.report.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    agrees,
    ahead,
    at_most,
    every,
    judged,
    reaches,
)
from ssl_ood.report.results import Summary

ORDER = [FAILS, UNDECIDED, HOLDS]
POINTS = st.floats(-20, 20)
HALVES = st.one_of(st.floats(0, 10), st.just(math.nan))  # of an interval; NaN: there is none
REPORTED = st.one_of(st.none(), st.floats(0.1, 20))


def lead(mean, half):
    return Summary(mean, math.nan, mean - half, mean + half, "seeds", 3, ())


@given(POINTS, st.floats(0, 20), HALVES, REPORTED)
def test_a_larger_lead_never_makes_a_verdict_worse(mean, more, half, reported):
    smaller, larger = (judged(lead(m, half), reported).verdict for m in (mean, mean + more))
    assert ORDER.index(larger) >= ORDER.index(smaller)


@given(POINTS, st.floats(0, 20), HALVES, POINTS)
def test_the_limits_are_monotone_too(mean, more, half, limit):
    one, other = lead(mean, half), lead(mean + more, half)
    assert ORDER.index(ahead(other, limit)) >= ORDER.index(ahead(one, limit))
    assert ORDER.index(at_most(other, limit)) <= ORDER.index(at_most(one, limit))


@given(POINTS, HALVES, REPORTED)
def test_nothing_is_sure_whose_interval_includes_zero(mean, half, reported):
    summary = lead(mean, half)
    verdict = judged(summary, reported).verdict
    if verdict == HOLDS:
        assert summary.low > 0
    if math.isnan(half):
        assert verdict == UNDECIDED or (reported is not None and verdict != HOLDS)


@given(HALVES)
def test_a_hundredth_of_a_point_is_no_lead_of_0_96(half):
    assert judged(lead(0.01, half), 0.96).verdict != HOLDS
    assert judged(lead(0.01, 0.005), 0.96).verdict == FAILS
    assert judged(lead(0.01, 2.0), 0.96).verdict == UNDECIDED


@given(st.floats(0, 10), st.floats(0.1, 20))
def test_no_agreement_with_an_effect_reaches_to_nothing(half, reported):
    """A lead of nothing is never that of the thesis, however large its tolerance."""
    assert judged(lead(0.0, half), reported).verdict != HOLDS
    assert reaches(lead(0.0, 0.0), reported)[0] == FAILS


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [
        (4.0, 0.5, HOLDS),  # within a point
        (3.0, 2.0, HOLDS),  # contains 4.82
        (9.0, 0.5, HOLDS),  # larger
        (2.5, 1.5, UNDECIDED),  # ahead, and may be within a point of 4.82: 4.0 is
        (1.0, 2.0, FAILS),  # may be no lead at all, and is surely smaller than 3.82
        (0.5, 5.0, UNDECIDED),
        (-1.0, 0.5, FAILS),
        (4.0, math.nan, UNDECIDED),  # one seed, no interval
    ],
)
def test_a_gain_of_4_82(mean, half, verdict):
    assert judged(lead(mean, half), 4.82).verdict == verdict


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [(93.9, 0.1, HOLDS), (95.0, 2.0, HOLDS), (94.5, 0.5, UNDECIDED), (95.0, 0.5, FAILS),
     (91.0, 0.5, FAILS), (91.8, 0.5, UNDECIDED), (95.0, math.nan, UNDECIDED)],
)  # fmt: skip
def test_a_number_of_93_2(mean, half, verdict):
    assert agrees(lead(mean, half), 93.2)[0] == verdict


@given(st.lists(st.sampled_from(ORDER), min_size=1))
def test_every_is_the_worst_of_its_verdicts(verdicts):
    assert every(verdicts) == min(verdicts, key=ORDER.index)


def test_of_no_verdict_at_all_nothing_is_said():
    assert every([]) == UNDECIDED
