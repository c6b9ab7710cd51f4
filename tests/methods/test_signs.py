"""What the numbers of a log say of a training: histories with known answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_ood.methods.signs import Collapses, DoesNotFall, Finding, Span, StaysAtChance

LOG_K = math.log(512)
UNIFORM = StaysAtChance(
    "teacher_entropy", LOG_K, "outputs are uniform", "outputs go back", "Lower it."
)
COLLAPSE = Collapses("entropy_of_mean", LOG_K, "Raise it.")
ISSUE = Span(steps=100 * 781, warmup=781)  # 50,000 images in batches of 64
THESIS = Span(steps=500 * 390, warmup=30 * 390)


def told(sign, key, values, span) -> list[tuple[int, Finding]]:
    """What a sign says, and at which step, of a log of these values of a quantity."""
    lines = [{"step": (i + 1) * span.every, key: value} for i, value in enumerate(values)]
    found = [(i, sign.judge(lines[:i], span)) for i in range(1, len(lines) + 1)]
    return [(lines[i - 1]["step"], finding) for i, finding in found if finding is not None]


def entropies(away):
    """Entropies of an output that are so far from uniform, as a share of log K."""
    return [LOG_K * (1 - share) for share in away]


def first(found, certain=False) -> int | None:
    return next((step for step, finding in found if finding.certain or not certain), None)


@pytest.mark.parametrize(
    ("steps", "early", "every"),
    [(500 * 390, 3900, 195), (20000, 500, 25), (875, 500, 25), (90, 90, 4), (1, 1, 1), (0, 1, 1)],
)
def test_the_early_part_is_two_percent_and_at_least_500_steps_in_twenty_lines(steps, early, every):
    assert (Span(steps).early, Span(steps).every) == (early, every)


def test_outputs_that_go_back_to_uniform_are_told_within_the_early_part():
    """As on CIFAR-10 at teacher temperature 0.05: uniform again in the first of 100 epochs."""
    found = told(UNIFORM, "teacher_entropy", entropies(0.25 * 0.6**i for i in range(60)), ISSUE)
    assert first(found) < ISSUE.early / 2
    assert ISSUE.early == 1562
    assert found[0][1].text.startswith("outputs go back (teacher entropy 6.1171 of at most 6.2383")
    assert found[0][1].text.endswith("at step 468): what was learned is lost. Lower it.")
    assert found[-1][1].text.startswith("outputs are uniform (teacher entropy 6.2383 of")
    assert ISSUE.warmup + ISSUE.early <= first(found, certain=True) < 0.05 * ISSUE.steps


def test_what_is_uniform_stops_early_in_a_training_of_the_thesis_not_after_half_of_it():
    found = told(UNIFORM, "teacher_entropy", entropies([0.0] * 200), THESIS)
    assert first(found) <= THESIS.early
    assert first(found, certain=True) == pytest.approx(0.08 * THESIS.steps, abs=THESIS.every)


def test_a_healthy_slow_training_is_left_alone():
    """Near uniform for a fifth of the training, then it begins to learn."""
    away = [min(1e-5 * 1.08**i, 0.6) for i in range(200)]
    assert told(UNIFORM, "teacher_entropy", entropies(away), THESIS) == []


def test_nearly_uniform_without_growth_is_told_but_no_reason_to_stop_before_half_of_it():
    """The temperature falls until the end, so that such a training may still begin."""
    span = Span(2000)
    found = told(UNIFORM, "teacher_entropy", entropies([0.003] * 80), span)
    assert first(found) == 6 * span.every
    assert first(found, certain=True) == 1025


def test_one_soft_class_is_told_and_stops():
    found = told(COLLAPSE, "entropy_of_mean", [LOG_K * 0.5**i for i in range(40)], ISSUE)
    assert first(found) <= ISSUE.early
    assert "few soft-classes" in found[0][1].text
    last = found[-1][1]
    assert last.certain and "the teacher has collapsed to one soft-class" in last.text
    assert last.text.endswith("Raise it.")


def test_few_soft_classes_are_told_and_never_stop():
    found = told(COLLAPSE, "entropy_of_mean", [LOG_K * 0.1] * 100, ISSUE)
    assert found and first(found, certain=True) is None


@given(st.lists(st.floats(0.08, 1), min_size=1, max_size=60))
def test_outputs_that_say_something_are_never_called_uniform(away):
    assert told(UNIFORM, "teacher_entropy", entropies(away), ISSUE) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_nothing_is_certain_of_a_few_lines(shares):
    for sign, key in ((UNIFORM, "teacher_entropy"), (COLLAPSE, "entropy_of_mean")):
        assert first(told(sign, key, entropies(shares), Span(0)), certain=True) is None


def test_contrast_at_chance_is_told():
    chance = math.log(1 + 4096)
    sign = StaysAtChance("loss", chance, "queries find no key", "they forget", "Change it.")
    assert first(told(sign, "loss", [chance] * 30, ISSUE)) <= ISSUE.early
    falling = [chance * (1 - 1e-4 * 1.2**i) for i in range(30)]
    assert told(sign, "loss", falling, ISSUE) == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([2.0 - 0.01 * i for i in range(40)], None),
        ([2.0 + 0.02 * (-1) ** i - 0.01 * i for i in range(40)], None),
        ([2.0 + 0.02 * (-1) ** i for i in range(40)], "the loss does not fall"),
        ([2.0 + 0.01 * (-1) ** i + 0.05 * i for i in range(40)], "the loss rises"),
        ([-1.0 - 0.1 * i for i in range(40)], None),  # of a likelihood
        ([2.0] * 19, None),  # too few to say
    ],
    ids=["falls", "noisy", "stands", "rises", "negative", "short"],
)
def test_the_trend_of_a_loss(values, says):
    found = told(DoesNotFall(), "loss", values, Span(20000))
    assert not any(finding.certain for _, finding in found)
    if says is None:
        assert found == []
    else:
        assert says in found[-1][1].text
        assert first(found) <= Span(20000).early
