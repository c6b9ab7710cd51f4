"""The claim of chapter 4: some of the other images as noise are as good as all of them."""

from __future__ import annotations

import pytest

from ssl_ood.report.claims.table import check_claims
from ssl_ood.report.claims.verdicts import FAILS, HOLDS, UNKNOWN
from ssl_ood.report.results import load_results


@pytest.fixture
def verdict(study, reported):
    """A function: accuracies of three seeds with 4,096 and with all others as noise -> record."""

    def judge(some, every):
        for variant, noise, values in (("base", 4096, some), ("noise_all", 0, every)):
            for seed, value in enumerate(values):
                run = study.run(
                    "cifar10", "none", seed, variant, ["svhn"], study="pretext_npid", noise=noise
                )
                study.add(run, "knn_accuracy", value)
        spec = study.spec("table_claims", claims="section 4")
        (found,) = check_claims(load_results(spec, study.write(), reported))
        return found

    return judge


def test_it_holds_where_all_of_them_are_hardly_ahead(verdict):
    found = verdict([0.80, 0.81, 0.82], [0.803, 0.812, 0.824])
    assert found["id"] == "few_noise_images_suffice" and found["verdict"] == HOLDS
    assert found["value"] == pytest.approx(0.3) and found["high"] < 1
    assert "M = 4,096: 81.00 %" in found["reason"]


def test_it_does_not_where_they_are_far_ahead(verdict):
    found = verdict([0.80, 0.81, 0.82], [0.85, 0.86, 0.871])
    assert found["verdict"] == FAILS and found["low"] > 1


def test_it_cannot_be_measured_without_both(verdict):
    found = verdict([0.80, 0.81, 0.82], [])
    assert found["verdict"] == UNKNOWN and "none with all" in found["reason"]
