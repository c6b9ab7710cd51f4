"""Verdicts on λ and τ, both ways and for both in-distribution sets."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.report.claims.table import check_claims
from ssl_ood.report.claims.verdicts import FAILS, HOLDS, UNDECIDED, UNKNOWN
from ssl_ood.report.results import load_results

GRID = [0.01, 0.02, 0.035, 0.04, 0.045, 0.08, 0.1]
# Noise of a seed at each temperature; its mean over the seeds is 0.
NOISE = np.random.default_rng(0).normal(size=(3, len(GRID)))
NOISE -= NOISE.mean(0)


def curve(study, home, best, strategy="rot_imgn", height=0.1, noise=0.0, seeds=(0, 1, 2), **run):
    """Runs whose sensitivity is largest at `best`; height: lost at twice or half of it."""
    for seed in seeds:
        name = study.run(home, strategy, seed, **run)
        for tau, moved in zip(GRID, noise * NOISE[seed], strict=True):
            value = 0.6 - height * np.log2(tau / best) ** 2 + moved
            study.add(name, "sensitivity", value, score="cosine_tau", tau=tau)


def verdicts(study, reported, scores=(), taus=GRID):
    spec = study.spec("table_claims", claims="section 6", near="cifar100", far="texture",
                      only=["optimal_tau", "tau_range", "optimal_lambda"])  # fmt: skip
    spec["evaluation"]["taus"] = taus
    results = load_results(spec, study.write(), reported, scores)
    return {record["id"]: record for record in check_claims(results)}


@pytest.mark.parametrize(
    ("first", "second", "optimal", "inside"),
    [
        (0.04, 0.04, HOLDS, HOLDS),
        (0.035, 0.045, HOLDS, HOLDS),  # 0.04 is their mean
        (0.02, 0.035, FAILS, HOLDS),
        (0.04, 0.1, FAILS, FAILS),  # beyond an end of the grid the mean is no nearer
        (0.01, 0.1, UNDECIDED, FAILS),  # beyond both it may be anywhere
    ],
)
def test_temperatures_of_both_datasets(study, reported, first, second, optimal, inside):
    curve(study, "cifar10", first)
    curve(study, "cifar10", first, "none")
    curve(study, "cifar100", second)
    found = verdicts(study, reported)
    assert (found["optimal_tau"]["verdict"], found["tau_range"]["verdict"]) == (optimal, inside)
    told = f"τ = {first:g} for CIFAR-10, {second:g} for CIFAR-100"
    assert found["optimal_tau"]["measured"] == f"{told}; mean {(first + second) / 2:.4g}"
    assert found["tau_range"]["measured"] == told
    if optimal == UNDECIDED:
        assert "the best may lie beyond" in found["optimal_tau"]["reason"]


def test_a_flat_curve_leaves_them_undecided(study, reported):
    """The best of the means is 0.04; no temperature is surely less sensitive."""
    curve(study, "cifar10", 0.04, height=0.001, noise=0.05)
    found = verdicts(study, reported)
    assert found["optimal_tau"]["verdict"] == found["tau_range"]["verdict"] == UNDECIDED
    assert "not surely less sensitive: τ of 0.01 to 0.1" in found["tau_range"]["reason"]


def test_a_grid_within_the_range_says_nothing_of_it(study, reported):
    curve(study, "cifar10", 0.04)
    found = verdicts(study, reported, taus=GRID[1:-1])
    assert found["tau_range"]["verdict"] == UNKNOWN and found["optimal_tau"]["verdict"] == HOLDS


def scored(folder, run, seed, clear, images=300):
    """Writes scores that tell held-out from test images the better, the nearer τ is to 0.04."""
    rng = np.random.default_rng(seed)
    roles = ["sensitivity_held_out"] * images + ["sensitivity_test"] * images
    own, is_test = rng.standard_normal(2 * images), np.repeat([0.0, 1.0], images)
    columns = {"role": np.array(roles), "dataset": np.full(2 * images, "cifar10")}
    columns |= {"set": columns["dataset"], "index": np.arange(2 * images)}
    columns |= dict.fromkeys(("label", "knn_label", "knn_majority_label"), np.full(2 * images, -1))
    for tau in GRID:
        lead = 1.5 - clear * np.log2(tau / 0.04) ** 2
        moved = 0.5 * rng.standard_normal(2 * images)
        columns[f"cosine_tau@{tau:.3f}"] = own + moved + lead * is_test
    write_scores(columns, folder / f"{run}.parquet", {"run": run, "inputs": {}})


@pytest.mark.parametrize(("clear", "verdict"), [(1.0, HOLDS), (0.0001, UNDECIDED)])
def test_one_seed_is_judged_by_its_images(study, reported, tmp_path, clear, verdict):
    for i, strategy in enumerate(("none", "rot_imgn")):
        curve(study, "cifar10", 0.04, strategy, seeds=(0,))
        scored(tmp_path, study.run("cifar10", strategy), i, clear)
    without = verdicts(study, reported)
    assert without["tau_range"]["verdict"] == UNDECIDED
    found = verdicts(study, reported, sorted(tmp_path.glob("*.parquet")))
    assert found["tau_range"]["verdict"] == found["optimal_tau"]["verdict"] == verdict


def weights(study, home, seeds=(0, 1, 2), **sensitivities):
    """rot_imgn with λ = 1 and the others, of these sensitivities."""
    named = {"base": 1.0, "lambda_0.5": 0.5, "lambda_2": 2.0}
    for seed in seeds:
        for variant, weight in named.items():
            name = study.run(home, "rot_imgn", seed, variant, weight=weight)
            value = sensitivities[variant.removeprefix("lambda_").replace("0.5", "half")
                                  .replace("2", "two")] + 0.01 * seed  # fmt: skip
            study.add(name, "sensitivity", value, score="cosine_tau", tau=0.04)


@pytest.mark.parametrize(
    ("second", "verdict", "words"),
    [
        ({"base": 0.6, "half": 0.5, "two": 0.4}, HOLDS, "λ = 1 for CIFAR-10, 1 for CIFAR-100"),
        ({"base": 0.6, "half": 0.5, "two": 0.7}, FAILS, "λ = 1 for CIFAR-10, 2 for CIFAR-100"),
    ],
)
def test_the_weight_is_judged_for_both_datasets(study, reported, second, verdict, words):
    weights(study, "cifar10", base=0.6, half=0.55, two=0.5)
    weights(study, "cifar100", **second)
    found = verdicts(study, reported)["optimal_lambda"]
    assert (found["verdict"], found["measured"]) == (verdict, words)
    assert "CIFAR-10: sensitivity 56.00 at 0.5, 61.00 at 1" in found["reason"]
    assert "CIFAR-100: sensitivity 51.00 at 0.5" in found["reason"]


def test_a_dataset_without_other_weights_is_left_out(study, reported):
    weights(study, "cifar10", base=0.6, half=0.55, two=0.5)
    curve(study, "cifar100", 0.04)
    found = verdicts(study, reported)["optimal_lambda"]
    assert (found["verdict"], found["measured"]) == (HOLDS, "λ = 1 for CIFAR-10")


def test_one_seed_of_a_weight_without_scores_is_undecided(study, reported):
    weights(study, "cifar10", seeds=(0,), base=0.6, half=0.55, two=0.5)
    assert verdicts(study, reported)["optimal_lambda"]["verdict"] == UNDECIDED
