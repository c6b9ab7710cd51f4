"""Schedules against values worked out by hand, and the schedule of a whole training."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ood.training import schedules
from ssl_ood.training.trainer import make_schedule


def test_cosine_by_hand():
    # 1 + cos of 0, 45, 90 and 135 degrees, halved, from 2 down to 0
    expected = [2, 1 + np.sqrt(0.5), 1, 1 - np.sqrt(0.5)]
    np.testing.assert_allclose(schedules.cosine(2, 0, 4), expected, rtol=1e-12)


def test_weight_decay_rises_and_begins_at_its_start():
    values = schedules.cosine(0.04, 0.4, 100)
    assert values[0] == pytest.approx(0.04, rel=1e-12)
    assert (np.diff(values) > 0).all()
    assert 0.39 < values[-1] < 0.4


def test_warmup_cosine_by_hand():
    found = schedules.warmup_cosine(3.0, 1.0, 4, 6)
    np.testing.assert_allclose(found, [0, 1, 2, 3, 3, 2], atol=1e-12)


def test_learning_rate_rises_to_the_peak_then_falls_towards_the_end():
    values = schedules.warmup_cosine(0.1, 1e-6, 20, 200)
    assert values[0] == 0
    assert values[19] == values[20] == values.max() == 0.1
    assert (np.diff(values[:20]) > 0).all()
    assert (np.diff(values[20:]) < 0).all()
    assert 1e-6 < values[-1] < 1e-4


@pytest.mark.parametrize(("warmup", "steps"), [(0, 5), (5, 5), (9, 5), (3, 0)])
def test_warmup_of_any_length_fits(warmup, steps):
    assert len(schedules.warmup_cosine(1.0, 0.0, warmup, steps)) == steps


def test_linear_has_both_ends():
    np.testing.assert_allclose(schedules.linear(0.055, 0.01, 4), [0.055, 0.04, 0.025, 0.01])
    assert schedules.linear(0.055, 0.01, 1).tolist() == [0.055]


def test_schedule_of_a_training(tiny):
    settings = tiny(training={"epochs": 4, "batch_size": 64, "lr_base": 0.004})
    schedule = make_schedule(settings, images=200)  # the last 8 images of an epoch are left out
    assert (schedule.steps_per_epoch, schedule.steps) == (3, 12)
    assert schedule.lr.max() == pytest.approx(0.004 * 64 / 256)  # the linear rule
    assert schedule.lr[2] == schedule.lr.max()  # after one epoch of warm-up
    np.testing.assert_allclose(schedule.temperature, [0.05, 0.13 / 3, 0.11 / 3, 0.03])
    assert schedule.momentum[0] == pytest.approx(0.9)
    assert schedule.weight_decay[0] == pytest.approx(0.04)
    assert len(schedule.momentum) == len(schedule.weight_decay) == 12
