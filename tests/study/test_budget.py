"""A study that fits into hours: what is given up, in which order, and that it fits when priced."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import yaml

from ssl_ood import cli
from ssl_ood.common.errors import UserError
from ssl_ood.study import budget, speeds
from ssl_ood.study.costs import to_train, trained_for
from ssl_ood.study.layers import merge
from ssl_ood.study.read import read_study

ROOT = Path(__file__).parents[2]


@pytest.fixture
def prices(thesis, tmp_path):
    """A function: the budget of config.yaml at 600 images per second, on a disk without data."""
    places = {"results_dir": str(tmp_path), "downloads_dir": str(tmp_path), "strict": True}

    def make(*names, at_once=1, **changes):
        config, read = merge(thesis, places, changes), {}

        def reread(layer):
            key = json.dumps(layer)
            if key not in read:
                read[key] = read_study(merge(config, layer))
            return read[key]

        return budget.Budget(reread, [*names], at_once)

    return make


def total(experiments):
    """GPU hours of all that `all` would train, at 600 images per second."""
    runs = to_train(experiments, trained_for(experiments.usual))
    seen = [experiments.images(r) * r.settings.training.epochs * r.settings.work for r in runs]
    return sum(seen) / 600 / 3600


@pytest.mark.parametrize("hours", [3, 300])
def test_what_is_proposed_fits_when_it_is_priced_again(prices, hours):
    asked = prices(seeds=[0, 1])
    plan = budget.propose(asked, hours)
    layer = budget.overlay(asked, plan)
    again = asked.reread(layer)  # it is valid
    assert total(again) == pytest.approx(plan.hours)
    assert 0 < plan.hours <= 0.9 * hours
    assert {t.name for t in again.usual} == {*plan.targets}
    assert budget.overlay(asked, budget.propose(asked, hours)) == layer
    for run in trained_for(again.usual):
        assert run.settings.training.epochs >= 1 or run.variant == "untrained"


def test_seeds_go_first_then_epochs_then_targets(prices):
    asked = prices(seeds=[0, 1, 2])
    three, two, one = (asked.plan(seeds, 100, asked.names).hours for seeds in (5, 2, 1))
    quarter = asked.plan(1, 25, asked.names).hours
    assert three > two > one > quarter

    def given(hours):
        plan = budget.propose(asked, hours / 0.9 * (1 + 1e-9))
        return plan.seeds, plan.percent, len(plan.targets) == len(asked.names)

    assert given(three) == (5, 100, True)
    assert given(two) == (2, 100, True)
    assert given(one) == (1, 100, True)
    assert given(one * 0.8)[::2] == (1, True) and 75 <= given(one * 0.8)[1] <= 80
    assert given(quarter) == (1, 25, True)
    assert given(quarter / 2)[2] is False and given(quarter / 2)[1] >= 25


def test_what_is_shortened_is_said_where_the_config_says_it(prices):
    asked = prices("table_shifts_medical", "table_rsna_contrastive")
    plan = budget.Plan(1, 50, ("table_shifts_medical", "table_rsna_contrastive"), 1.0)
    layer = budget.overlay(asked, plan)
    training = layer["studies"]["medical"]["override"]["training"]
    config = asked.asked.config
    whole = config.studies["medical"].override["training"]["epochs"]
    assert training["epochs"] == whole // 2
    assert layer["methods"]["moco"]["training"] == {"epochs": 50}
    assert layer["tables"]["table_rsna_contrastive"] == {"seeds": [0]}
    assert layer["tables"]["table_ood_auroc"] == {"optional": True}
    again = asked.reread(layer)
    assert {t.name for t in again.usual} == {*plan.targets}


def test_one_table_says_what_was_kept_shortened_and_left_out(prices):
    asked = prices("table_shifts_medical", "table_rsna_contrastive", "table_protocol_choices")
    plan = budget.propose(asked, asked.plan(1, 60, ["table_rsna_contrastive"]).hours / 0.9)
    said = budget.describe(asked, plan, 8)
    last = {line.split("  ")[0]: line.split()[-1] for line in said.splitlines() if line}
    assert last["table_shifts_medical"] == "out"
    assert last["table_rsna_contrastive"] == "shortened"
    assert last["table_protocol_choices"] == "kept"
    assert last["methods.moco.training.epochs"] == "shortened"
    assert "assumed, 600 images/s" in said


def test_what_shows_the_runs_of_another_keeps_it(prices):
    asked = prices("table_claims")
    plan = budget.propose(asked, 1e6)
    assert {"table_claims", *asked.asked.targets["table_claims"].settings.runs_of} <= {
        *plan.targets
    }
    asked.reread(budget.overlay(asked, plan))


def test_hours_by_the_clock_hold_in_whatever_order_trainings_start(prices):
    rng = random.Random(0)
    asked = prices(at_once=3)
    for _ in range(200):
        hours = [rng.random() ** 3 for _ in range(rng.randint(1, 12))]
        free = [0.0] * 3
        for one in hours:  # each takes the place that is free first
            free[free.index(min(free))] += one
        assert max(free) <= asked.clock(hours) + 1e-12
    assert asked.clock([]) == 0


@pytest.mark.parametrize("hours", [0, -3, math.nan, math.inf])
def test_hours_that_are_none_are_a_sentence(hours):
    with pytest.raises(UserError, match=r"--hours .*: write how many hours there are"):
        budget.check_hours(hours)


def test_too_few_hours_are_a_sentence_with_what_the_least_takes(prices):
    asked = prices("table_negative_sampling", "table_rsna_contrastive")
    with pytest.raises(UserError, match=r"0.001 hours are too few.*one epoch of each"):
        budget.propose(asked, 0.001)
    # One epoch of the five splits' first, and of the method that it is compared with.
    runs = asked.asked.targets["table_rsna_contrastive"].runs
    firsts = {run.method: run for run in reversed(runs)}.values()
    least = sum(asked.asked.images(r) * r.settings.work for r in firsts) / 600 / 3600
    assert asked.plan(1, 0, ["table_rsna_contrastive"]).hours == pytest.approx(least)


def test_the_command_measures_once_and_writes_what_check_takes(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    places = tmp_path / "places.yaml"
    places.write_text(f"results_dir: {tmp_path}/results\nstrict: true\n", encoding="utf-8")
    layers = ["config.yaml", "profiles/demo/study.yaml", "tests/tiny_study.yaml", str(places)]
    output = tmp_path / "budget.yaml"
    command = ["plan", "table_rsna", "--hours", "4", "--configfile", *layers]
    command += ["--output", str(output)]
    assert cli.main(command) == 0
    said, log = capfd.readouterr()
    assert "measuring the speed of 1 kinds" in log and "measured here, images/s: medical" in said
    kept = json.loads((tmp_path / "results" / speeds.FILE).read_text())
    assert len(kept) == 1 and all(speed > 1 for speed in kept.values())
    before = output.read_bytes()
    assert yaml.safe_load(before)["tables"]["table_ood_auroc"] == {"optional": True}
    assert cli.main(command) == 0
    said, log = capfd.readouterr()
    assert "measuring" not in log and output.read_bytes() == before
    check = ["check", "--no-backbones", "--configfile", *layers, str(output)]
    assert cli.main(check) == 0
    output.write_text("mine: 1\n", encoding="utf-8")
    assert cli.main(command) == 2
    assert "is not a proposal of this command" in capfd.readouterr().err


def test_without_the_gpu_that_the_config_asks_for_nothing_is_measured(prices, monkeypatch):
    monkeypatch.setattr(speeds, "driver_version", lambda: None)
    asked = prices().asked
    assert speeds.measure(asked, asked.runs.values(), []) is False
    assert speeds.measure(asked, [], []) is True
