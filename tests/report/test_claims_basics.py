"""Verdicts on the claims of chapters 1 to 4, both ways."""

from __future__ import annotations

import numpy as np
import pytest
from support.packed import write_packed

from ssl_ood.report.claims.table import check_claims, claims_table
from ssl_ood.report.claims.verdicts import FAILS, HOLDS, UNDECIDED, UNKNOWN
from ssl_ood.report.results import load_results

SETS = ["cifar100", "svhn"]


def measured(study, near=0.8, far=0.95, seeds=(0, 1, 2), **others):
    """Four strategies; others: the AUROC of the near and the far set of some of them."""
    for seed in seeds:
        for i, strategy in enumerate(("none", "imgn", "rot_imgn", "dti")):
            values = others.get(strategy, (near + 0.01 * i, far))
            aurocs = {name: value + 0.001 * seed for name, value in zip(SETS, values, strict=True)}
            study.fill("cifar10", strategy, seed, auroc=aurocs, ood=SETS)


def results_of(study, reported, images=(), show_reported=True):
    spec = study.spec("table_claims", show_reported=show_reported, claims="section 1-4",
                      near="cifar100", far="svhn")  # fmt: skip
    return load_results(spec, study.write(), reported, images=images)


def verdicts(study, reported, images=(), **more):
    found = check_claims(results_of(study, reported, images, **more))
    return {record["id"]: record for record in found}


def packed(folder, **sets):
    """A packed set for each name, of images of about that brightness."""
    rng = np.random.default_rng(0)
    paths = []
    for name, bright in sets.items():
        pixels = rng.normal(bright, 20, (60, 1, 1, 1)) + rng.normal(0, 15, (60, 8, 8, 3))
        images = np.clip(pixels, 0, 255).astype(np.uint8)
        paths.append(write_packed(folder / name, images, dataset=name, split="test"))
    return paths


def test_near_is_harder_than_far_for_every_strategy(study, reported):
    measured(study)
    found = verdicts(study, reported)["near_harder_than_far"]
    assert found["verdict"] == HOLDS and "4 of 4 strategies" in found["measured"]
    assert found["low"] < found["value"] < found["high"] and found["n"] == 3


def test_a_strategy_against_it_is_named(study, reported):
    measured(study, dti=(0.97, 0.95))
    found = verdicts(study, reported)["near_harder_than_far"]
    assert found["verdict"] == FAILS and "not for DTI" in found["reason"]
    assert "3 of 4 strategies, the smallest lead −2.00 points" in found["measured"]


def test_one_seed_without_its_scores_is_undecided(study, reported):
    measured(study, seeds=(0,))
    found = verdicts(study, reported)["near_harder_than_far"]
    assert found["verdict"] == UNDECIDED and "open for None (DINO), ImgN" in found["reason"]


@pytest.mark.parametrize(("rot", "verdict"), [(0.7, HOLDS), (0.502, UNDECIDED), (0.2, FAILS)])
def test_where_likelihoods_fail_every_strategy_is_above_chance(study, reported, rot, verdict):
    """Of one seed the interval is over images: here 1 point either way."""
    measured(study, seeds=(0,), rot_imgn=(0.5, rot))
    found = verdicts(study, reported)["not_prone_to_likelihood_failure"]
    assert found["verdict"] == verdict, found


def test_without_a_flow_no_likelihood_is_measured(study, reported):
    measured(study)
    found = verdicts(study, reported)["likelihood_fails"]
    assert found["verdict"] == UNKNOWN
    assert found["reason"] == "no normalising flow is among the baselines of this table"


@pytest.mark.parametrize(("area", "verdict"), [(0.1, HOLDS), (0.495, UNDECIDED), (0.9, FAILS)])
def test_a_likelihood_fails_where_its_auroc_is_below_chance(study, reported, area, verdict):
    """One seed, whose interval over images is 1 point either way."""
    measured(study, seeds=(0,))
    name = study.run("cifar10", "none", ood=["svhn"], study="likelihood_colour")
    study.add(name, "auroc", area, ood="svhn", score="bits_per_dimension")
    flow = study.runs.pop()
    spec = study.spec("table_claims", claims="section 1-4", near="cifar100", far="svhn")
    evaluation = spec["evaluation"] | {"scores": ["bits_per_dimension"]}
    spec["baselines"] = {"Glow": {"score": None, "evaluation": evaluation, "runs": [flow]}}
    records = check_claims(load_results(spec, study.write(), reported))
    (found,) = (record for record in records if record["id"] == "likelihood_fails")
    assert found["verdict"] == verdict and f"{100 * area:.2f} %" in found["measured"]


@pytest.mark.parametrize(("near", "verdict"), [(122, HOLDS), (155, UNDECIDED), (199, FAILS)])
def test_colours_are_alike_nearer_to_halves_of_one_set_than_to_the_far(
    study, reported, tmp_path, near, verdict
):
    measured(study, seeds=(0,))
    images = packed(tmp_path / "data", cifar10=120, cifar100=near, svhn=200)
    found = verdicts(study, reported, images)["colours_alike"]
    assert found["verdict"] == verdict, found
    assert found["low"] < found["value"] < found["high"]
    assert found["measured"].startswith("distance ") and "of CIFAR" not in found["reason"]


def test_colours_without_images_or_without_a_scale_cannot_be_judged(study, reported, tmp_path):
    measured(study, seeds=(0,))
    some = packed(tmp_path / "some", cifar10=120, cifar100=120)
    found = verdicts(study, reported, some)["colours_alike"]
    assert found["verdict"] == UNKNOWN and found["reason"] == "the images of SVHN are not there"
    same = packed(tmp_path / "same", cifar10=120, cifar100=120, svhn=120)
    far = same[0].with_name("svhn")
    write_packed(far, np.load(same[0] / "images.npy"), dataset="svhn", split="test")
    found = verdicts(study, reported, same)["colours_alike"]
    assert found["verdict"] == UNKNOWN and "no further away in colour" in found["reason"]


def test_the_table_is_of_chapters_1_to_4_and_puts_them_by_roles(study, reported):
    measured(study)
    table = claims_table(results_of(study, reported, show_reported=False))
    assert table.caption.startswith("The claims of chapters 1 to 4 in words: 2 hold, 0 do not")
    assert len(table.rows) == 5 and "Thesis" not in table.header
    assert "The colour distributions of CIFAR-10 and CIFAR-100 are alike" in repr(table.rows)
