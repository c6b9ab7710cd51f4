"""Verdicts on synthetic measurements, both ways."""

from __future__ import annotations

import csv
import math
import shutil

import numpy as np
import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.score_files import write_scores
from ssl_ood.measures.metrics import auroc
from ssl_ood.report.claims.table import CHECKS, chapter_of, chapters, check_claims
from ssl_ood.report.claims.verdicts import FAILS, HOLDS, UNDECIDED, UNKNOWN, judged
from ssl_ood.report.reported import reported_claims
from ssl_ood.report.results import Measurement, load_results, summarise

ROLES = {"claims": "section 6", "near": "cifar100", "far": "texture"}


def verdicts(study, reported, *, show_reported=True, photographs=(), folder=None):
    spec = study.spec("table_claims", show_reported=show_reported, photographs=photographs, **ROLES)
    results = load_results(spec, study.write(), folder or reported)
    return {r["id"]: r for r in check_claims(results)}


def change(study, metric, strategy, value, **only):
    """Sets a metric of a strategy's runs, or adds to it where `value` is a function."""
    for run in study.runs:
        if run["strategy"] == strategy and run["variant"] == "base":
            for row in study.rows[run["run"]]:
                if row["metric"] == metric and all(row[k] == v for k, v in only.items()):
                    row["value"] = repr(value(float(row["value"])) if callable(value) else value)


def test_every_claim_has_a_check_and_a_row_of_one_chapter(reported):
    rows = reported_claims(reported)
    assert len(rows) == len({row["id"] for row in rows})
    assert {row["id"] for row in rows} == set(CHECKS)
    for row in rows:
        assert sum(chapter_of(row) in chapters(f"section {n}") for n in ("1-4", 5, 6, 7)) == 1, row


def test_only_the_claims_of_the_chapter_are_checked(study, reported):
    study.thesis(seeds=[0])
    found = verdicts(study, reported)
    assert len(found) == 25 and not [name for name in found if name.startswith("medical")]


def test_the_values_of_the_claims_are_as_they_were_given(reported):
    with open(reported / "claims_in_text.csv", newline="") as file:
        values = {row["id"]: row["value"] for row in csv.DictReader(file)}
    assert values["gain_rot_imgn_over_none"] == "4.82" and values["knn_accuracy_none"] == "93.2"
    assert len(values) == 14


@pytest.mark.parametrize(
    "name",
    ["gain_rot_imgn_over_none", "gain_rot_imgn_over_imgn", "gain_rot_dti_over_dti",
     "knn_accuracy_none", "optimal_tau", "auroc_follows_knn", "auroc_follows_sensitivity",
     "rotation_ahead", "permutation_not_ahead_of_none", "rotated_has_higher_sensitivity",
     "negatives_improve_knn", "in_distribution_fewest_soft_classes", "rotations_occupy_alike",
     "optimal_lambda"],
)  # fmt: skip
def test_claims_hold_on_measurements_made_like_the_thesis(study, reported, name):
    study.thesis()
    found = verdicts(study, reported)[name]
    assert found["verdict"] == HOLDS, found


def test_a_gain_is_told_with_its_over_seeds(study, reported):
    study.thesis()
    found = verdicts(study, reported)["gain_rot_imgn_over_none"]
    assert found["reported"] == "4.82" and found["n"] == 3
    assert found["low"] < found["value"] < found["high"]
    assert "over 3 seeds" in found["measured"] and "3 of 3 seeds" in found["reason"]


def test_a_gain_of_the_other_sign_does_not_hold(study, reported):
    study.thesis()
    change(study, "auroc", "rot_imgn", 0.7, dataset="average")
    found = verdicts(study, reported)
    for name in ("gain_rot_imgn_over_none", "gain_rot_imgn_over_imgn", "rotation_ahead"):
        assert found[name]["verdict"] == FAILS
    assert "other sign" in found["rotation_ahead"]["reason"]


def test_a_gain_far_from_the_number_holds_only_where_the_number_is_not_claimed(study, reported):
    study.thesis()
    change(study, "auroc", "rot_imgn", 0.92, dataset="average")
    name = "gain_rot_imgn_over_none"
    assert verdicts(study, reported)[name]["verdict"] == FAILS
    assert verdicts(study, reported, show_reported=False)[name]["verdict"] == HOLDS


def test_one_seed_is_said_to_be_one(study, reported):
    study.thesis(seeds=[0])
    found = verdicts(study, reported, show_reported=False)["rotation_ahead"]
    assert "(1 seed)" in found["measured"] and found["verdict"] == UNDECIDED
    assert "one seed, and no interval over images" in found["reason"]


def scored(rng, folder, run, lead, images=400):
    """Writes scores whose AUROC rises with `lead`; returns its mean over two OOD sets."""
    table = {name: [] for name in ("role", "dataset", "cosine_tau@0.040")}
    for role, dataset, shift in (("test", "cifar10", 0), ("ood", "cifar100", lead),
                                 ("ood", "texture", lead)):  # fmt: skip
        table["role"] += [role] * images
        table["dataset"] += [dataset] * images
        table["cosine_tau@0.040"] += list(rng.standard_normal(images) + shift)
    count = len(table["role"])
    columns = {name: np.array(values) for name, values in table.items()}
    columns |= {"set": columns["dataset"], "index": np.arange(count)}
    columns |= dict.fromkeys(("label", "knn_label", "knn_majority_label"), np.full(count, -1))
    write_scores(columns, folder / f"{run}.parquet", {"run": run, "inputs": {}})
    own = columns["cosine_tau@0.040"]
    return np.mean([auroc(own[:images], own[i : i + images]) for i in (images, 2 * images)])


@pytest.mark.parametrize(("lead", "verdict"), [(1.5, HOLDS), (1.02, UNDECIDED), (0.5, FAILS)])
def test_one_seed_is_judged_by_the_images_that_both_have_scored(
    study, reported, tmp_path, lead, verdict
):
    sets = ["cifar100", "texture"]
    for seed, strategy, shift in ((0, "none", 1.0), (1, "rot_imgn", lead)):
        run = study.run("cifar10", strategy, ood=sets)
        mean = scored(np.random.default_rng(seed), tmp_path, run, shift)
        study.fill("cifar10", strategy, 0, auroc=mean, ood=sets)
    only = ["gain_rot_imgn_over_none"]
    spec = study.spec("table_claims", show_reported=False, only=only, **ROLES)
    scores = sorted(tmp_path.glob("*.parquet"))
    (found,) = check_claims(load_results(spec, study.write(), reported, scores))
    assert found["verdict"] == verdict, found
    assert "over images (1 seed)" in found["measured"]
    assert found["low"] < found["value"] < found["high"]


def test_sensitivity_above_a_half(study, reported):
    study.thesis()
    change(study, "sensitivity", "rot_imgn", lambda v: 0.55 + 0.01 * v)
    assert verdicts(study, reported)["sensitivity_above_half"]["verdict"] == HOLDS
    change(study, "sensitivity", "rot_imgn", lambda v: 0.45)
    assert verdicts(study, reported)["sensitivity_above_half"]["verdict"] == FAILS


def test_no_agreement_with_an_effect_reaches_to_nothing():
    """0.96 points ahead: +0.01 is within a point of it, and no lead of 0.96."""
    seeds = [Measurement("a", s, v, math.nan, math.nan) for s, v in enumerate((0.009, 0.01, 0.011))]
    assert judged(summarise(seeds), 0.96).verdict == FAILS
    assert judged(summarise(seeds), None).verdict == HOLDS


def test_an_interval_that_includes_zero_is_said(study, reported):
    study.thesis()
    noise = iter([0.08, -0.07, 0.09])
    for run in study.runs:
        if run["strategy"] == "rot_imgn" and run["variant"] == "base":
            shift = next(noise) if run["in_distribution"] == "cifar10" else 0
            for row in study.rows[run["run"]]:
                if row["dataset"] == "average":
                    row["value"] = repr(0.9 + shift)
    found = verdicts(study, reported, show_reported=False)["gain_rot_imgn_over_none"]
    assert "includes 0" in found["reason"]


def test_correlations_of_the_other_sign_do_not_hold(study, reported, names):
    study.thesis()
    for strategy in names.strategies:
        change(study, "knn_accuracy", strategy, lambda v: 1 - v)
    found = verdicts(study, reported)
    assert found["auroc_follows_knn"]["verdict"] == FAILS
    assert found["sensitivity_beats_knn"]["verdict"] == HOLDS
    assert "ρ = −1.00 for CIFAR-100" in found["auroc_follows_knn"]["measured"]


def test_soft_classes_both_ways(study, reported):
    study.thesis()
    found = verdicts(study, reported)
    assert found["fewer_soft_classes"]["verdict"] == FAILS  # Perm-4 is below none in these data
    assert "Perm-4 ImgN" in found["fewer_soft_classes"]["reason"]
    change(study, "occupied_soft_classes", "none", 2000)
    change(study, "occupied_soft_classes", "rot_indist", 100)
    found = verdicts(study, reported)
    assert found["fewer_soft_classes"]["verdict"] == HOLDS
    assert found["rotations_occupy_alike"]["verdict"] == FAILS
    change(study, "occupied_soft_classes", "rot_indist", 600)
    assert verdicts(study, reported)["in_distribution_fewest_soft_classes"]["verdict"] == FAILS


def test_numbers_on_other_data_cannot_be_measured(study, reported):
    study.thesis()
    found = verdicts(study, reported, show_reported=False)
    for name in ("knn_accuracy_none", "knn_accuracy_csi", "best_of_8_first", "best_of_8_second",
                 "combined_margin_supervised", "lsun_margin"):  # fmt: skip
        assert found[name]["verdict"] == UNKNOWN and found[name]["reason"]
    assert not any(r["reported"] for r in found.values())
    assert "CIFAR-100" in found["auroc_follows_knn"]["claim"]  # the near set, by its title


def test_best_of_eight_counts_the_sets_and_says_what_the_thesis_prints(study, reported):
    study.thesis()
    found = verdicts(study, reported)["best_of_8_first"]
    assert "the thesis's own table gives 7 and 1 tied" in found["reason"]
    assert "the better of two strategies, chosen by the test AUROC itself" in found["reason"]
    for strategy in ("rot_imgn", "combined"):
        for row_set in ("cifar100", "svhn", "imagenet30", "tinyimagenet", "lsun", "stl10",
                        "places365", "texture"):  # fmt: skip
            change(study, "auroc", strategy, 0.9999, dataset=row_set)
    found = verdicts(study, reported)["best_of_8_first"]
    assert found["verdict"] == HOLDS and found["measured"] == "8 of 8 sets"


def test_missing_runs_make_a_claim_unmeasurable_and_are_named(study, reported):
    study.fill("cifar10", "none", 0, auroc=0.9)
    study.fill("cifar10", "rot_imgn", 0, auroc=0.95)
    found = verdicts(study, reported)
    assert found["gain_rot_dti_over_dti"]["verdict"] == UNKNOWN
    assert "Rot. DTI" in found["gain_rot_dti_over_dti"]["reason"]
    assert found["auroc_follows_knn"]["verdict"] == UNKNOWN
    assert found["gain_rot_imgn_over_none"]["verdict"] == UNDECIDED  # one seed, no images


def test_claims_on_the_average_leave_photographs_out(study, reported):
    study.thesis(photographs=["texture"])
    change(study, "auroc", "rot_imgn", 0.5, dataset="average")
    found = verdicts(study, reported, show_reported=False, photographs=["texture"])
    assert found["gain_rot_imgn_over_none"]["verdict"] == HOLDS
    assert "photographs left out" in found["gain_rot_imgn_over_none"]["claim"]


def test_a_claim_without_a_check_is_an_error(study, reported, tmp_path):
    study.thesis(seeds=[0])
    shutil.copy(reported / "table_6_1_ood_auroc.csv", tmp_path)
    path = tmp_path / "claims_more.csv"
    path.write_text("id,where,claim,value,unit\nnew_claim,section 6.1,something,1,\n")
    with pytest.raises(UserError, match="new_claim"):
        verdicts(study, reported, folder=tmp_path)


def test_a_chapter_without_claims_is_an_error(study, reported):
    spec = study.thesis(seeds=[0]).spec("table_claims", claims="section 3")
    with pytest.raises(UserError, match="no claim of section 3: correct the option claims"):
        check_claims(load_results(spec, study.write(), reported))


def test_a_margin_of_one_seed_has_its_interval_in_points(study, reported):
    study.thesis(seeds=[0])
    found = verdicts(study, reported)["combined_margin_self_supervised"]
    assert found["low"] == pytest.approx(found["value"] - 1)  # 0.01 of an AUROC
    assert found["high"] == pytest.approx(found["value"] + 1)


def test_a_gain_larger_than_the_number_holds_and_says_so(study, reported):
    study.thesis()
    change(study, "auroc", "rot_imgn", 0.99, dataset="average")
    found = verdicts(study, reported)["gain_rot_imgn_over_none"]
    assert found["verdict"] == HOLDS and "(larger)" in found["reason"]
