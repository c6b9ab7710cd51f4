"""What the numbers of a log say of a training: histories with known answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_ood.methods.signs import Collapses, DoesNotFall, Finding, Span, StaysAtChance

LOG_K = math.log(512)
UNIFORM = StaysAtChance(
    "teacher_entropy", LOG_K, "outputs are uniform", "outputs go back", "Lower it.",
    near="outputs stay nearly uniform",
)  # fmt: skip
COLLAPSE = Collapses("entropy_of_mean", LOG_K, "Raise it.")
# Distances from uniform, as shares of log K, that trainings had.
# CIFAR-10, ViT of width 96 and depth 4, batches of 64, rotated images as negatives, teacher
# temperature 0.05: means of 20 steps, up to step 440. The loss stayed at 0.97 of 2 log K.
STUCK = [
    0.222, 0.187, 0.211, 0.213, 0.218, 0.261, 0.266, 0.285, 0.281, 0.246, 0.199,
    0.159, 0.133, 0.110, 0.105, 0.093, 0.097, 0.094, 0.087, 0.093, 0.089, 0.092,
]  # fmt: skip
# Healthy: half of FashionMNIST's classes, ViT of width 64 and depth 3, batches of 32, temperature
# 0.05 to 0.03. Rotated images as negatives, means of 20 steps, in 7 epochs of 125 steps.
DIPS = [
    0.231, 0.209, 0.236, 0.271, 0.303, 0.350, 0.424, 0.435, 0.378, 0.330, 0.281, 0.237, 0.245,
    0.258, 0.249, 0.237, 0.217, 0.221, 0.227, 0.254, 0.246, 0.265, 0.274, 0.257, 0.270,
]  # fmt: skip
# The same in 20 epochs: means of epochs. It dips to 0.130, the lowest of four such trainings.
DIPS_LOW = [
    0.201, 0.249, 0.137, 0.130, 0.159, 0.178, 0.202, 0.228, 0.259, 0.292,
    0.322, 0.347, 0.371, 0.395, 0.413, 0.431, 0.441, 0.451, 0.463, 0.468,
]  # fmt: skip
# Without negatives at an eighth of the rate, within its warm-up of 10 epochs: means of 20 steps.
SLOW = [
    0.230, 0.168, 0.168, 0.197, 0.236, 0.282, 0.327, 0.365, 0.406, 0.448,
    0.488, 0.504, 0.523, 0.531, 0.535, 0.531, 0.528, 0.523, 0.525,
]  # fmt: skip
LONG = Span(steps=100 * 781, warmup=781)  # 50,000 images in batches of 64
THESIS = Span(steps=500 * 390, warmup=30 * 390)


def told(sign, key, values, span, every=0) -> list[tuple[int, Finding]]:
    """What a sign says, and at which step, of a log of these values of a quantity."""
    every = every or span.every
    lines = [{"step": (i + 1) * every, key: value} for i, value in enumerate(values)]
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
    found = told(UNIFORM, "teacher_entropy", entropies(0.25 * 0.6**i for i in range(60)), LONG)
    assert first(found) < LONG.early / 2
    assert LONG.early == 1562
    assert found[0][1].text.startswith("outputs go back (teacher entropy 6.1171 of at most 6.2383")
    assert found[0][1].text.endswith("at step 468): what was learned is lost. Lower it.")
    assert found[-1][1].text.startswith("outputs are uniform (teacher entropy 6.2383 of")
    assert LONG.warmup + LONG.early <= first(found, certain=True) < 0.05 * LONG.steps


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
    found = told(COLLAPSE, "entropy_of_mean", [LOG_K * 0.5**i for i in range(40)], LONG)
    assert first(found) <= LONG.early
    assert "few soft-classes" in found[0][1].text
    last = found[-1][1]
    assert last.certain and "the teacher has collapsed to one soft-class" in last.text
    assert last.text.endswith("Raise it.")


def test_few_soft_classes_are_told_and_never_stop():
    found = told(COLLAPSE, "entropy_of_mean", [LOG_K * 0.1] * 100, LONG)
    assert found and first(found, certain=True) is None


def test_a_plateau_near_uniform_is_told_within_the_early_part():
    """It neither comes to uniform nor leaves: less than half of what an untrained network says."""
    span = Span(25 * 781, warmup=156)
    found = told(UNIFORM, "teacher_entropy", entropies(STUCK), span, every=20)
    assert first(found) == 400 < span.early
    assert "outputs stay nearly uniform (teacher entropy 5.6582 of" in found[0][1].text
    assert "less than half of what those of the untrained network did" in found[0][1].text
    assert first(found, certain=True) is None  # a colder teacher may still mend it
    goes_on = told(UNIFORM, "teacher_entropy", entropies(STUCK + STUCK[-6:] * 10), span, every=20)
    assert {step for step, _ in goes_on} == set(range(400, 20 * 82 + 1, 20))
    assert first(goes_on, certain=True) is None


@pytest.mark.parametrize("shares", [DIPS, DIPS_LOW, SLOW], ids=["dips", "dips_low", "slow"])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_healthy_trainings_are_left_alone_even_where_they_dip_a_fifth_lower(shares, share):
    """Also each mean of an epoch of DIPS_LOW as long as its five lines of 25 steps."""
    lower = shares[:3] + [share * value for value in shares[3:]]
    for repeated in (1, 5):
        lines = [value for value in lower for _ in range(repeated)]
        assert told(UNIFORM, "teacher_entropy", entropies(lines), Span(2500, 250)) == []


@given(st.lists(st.floats(0.081, 1), min_size=1, max_size=60))
def test_outputs_that_say_something_are_never_called_uniform(away):
    found = told(UNIFORM, "teacher_entropy", entropies(away), LONG)
    assert all("stay nearly uniform" in finding.text for _, finding in found)


@given(st.lists(st.floats(0.101, 1), max_size=60), st.floats(0.05, 0.2))
def test_outputs_that_say_half_of_what_they_did_are_never_told(away, start):
    assert told(UNIFORM, "teacher_entropy", entropies([start] * 3 + away), LONG) == []


def test_a_short_training_has_no_plateau():
    """Its first lines are of a few steps each, in which the centre is found: it seems certain."""
    away = [0.99, 0.86, 0.6, 0.4, 0.29] + [0.24] * 15
    assert told(UNIFORM, "teacher_entropy", entropies(away), Span(120)) == []


def test_a_number_that_says_nothing_at_the_start_has_no_plateau():
    sign = StaysAtChance("loss", LOG_K, "none", "back", "Change it.")
    assert told(sign, "loss", entropies(STUCK), LONG) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_nothing_is_certain_of_a_few_lines(shares):
    for sign, key in ((UNIFORM, "teacher_entropy"), (COLLAPSE, "entropy_of_mean")):
        assert first(told(sign, key, entropies(shares), Span(0)), certain=True) is None


def test_contrast_at_chance_is_told():
    chance = math.log(1 + 4096)
    sign = StaysAtChance("loss", chance, "queries find no key", "they forget", "Change it.")
    assert first(told(sign, "loss", [chance] * 30, LONG)) <= LONG.early
    falling = [chance * (1 - 1e-4 * 1.2**i) for i in range(30)]
    assert told(sign, "loss", falling, LONG) == []


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
