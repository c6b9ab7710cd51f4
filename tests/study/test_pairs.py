"""What is compared without a model: which pairs, from which sets, and what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import lookup
from ssl_ood.evaluation.measure import OODSet
from ssl_ood.study.gaps import find_gaps, used_sets

FORM = {"form": "shortcuts", "study": "natural"}
NAMES = {
    "natural-cifar10", "natural-cifar100", "label_efficiency-rsna_labelled", "medical-rsna",
    "medical-hyper_kvasir", "medical-lag", *(f"rsna_contrastive-rsna-seed{i}" for i in range(5)),
}  # fmt: skip


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_the_pairs_of_the_thesis_are_each_there_once(thesis, load, seeds):
    """A seed that chooses no split makes no pair."""
    found = load(thesis | {"seeds": seeds})
    assert set(found.pairs) == NAMES
    assert all(name == pairs.name for name, pairs in found.pairs.items())


def test_pairs_have_the_sets_of_the_runs(thesis, load):
    found = load(thesis)
    told = [t for t in found.targets.values() if "shortcuts" in lookup(t.kind, t.form).needs]
    shown = {target.settings.study for target in told}
    for run in found.runs.values():
        if run.study not in shown:  # baselines, beside the pairs of a table's own study, and flows
            continue
        split = f"-seed{run.seed}" if run.study == "rsna_contrastive" else ""
        pairs = found.pairs.get(f"{run.study}-{run.in_distribution}{split}")
        if run.ood:
            assert (pairs.train, pairs.test, pairs.ood) == (run.train, run.test, run.ood)
        else:
            assert pairs is None


def test_a_table_of_shortcuts_needs_no_run(thesis, load):
    found = load(thesis | {"figures": {}, "tables": {"table_mine": FORM | {
        "in_distribution": ["cifar10"]}}})  # fmt: skip
    assert not found.runs and list(found.pairs) == ["natural-cifar10"]
    target = found.targets["table_mine"]
    assert not target.trains
    (told,) = found.spec("table_mine")["shortcuts"]
    assert told["ood"] == list(thesis["studies"]["natural"]["in_distribution"]["cifar10"]["ood"])
    assert found.spec("table_mine")["titles"]["datasets"]["svhn"] == "SVHN"
    assert {s.path for s in found.pairs["natural-cifar10"].sets} <= found.packed_sets().keys()


def test_tables_of_models_have_the_pairs_of_their_runs(thesis, load):
    found = load(thesis).targets
    assert [p.name for p in found["table_ood_auroc"].pairs] == ["natural-cifar10",
                                                                "natural-cifar100"]  # fmt: skip
    assert len(found["table_rsna_contrastive"].pairs) == 5
    assert found["table_pretraining"].pairs == found["table_claims"].pairs == ()


@pytest.mark.parametrize(
    ("study", "named"), [("natural", []), ("rsna_pretraining", ["rsna_labelled"])]
)
def test_a_table_of_shortcuts_without_a_pair_is_a_sentence(thesis, load, study, named):
    thesis["tables"]["table_mine"] = FORM | {"study": study, "in_distribution": named}
    with pytest.raises(UserError, match="names no in-distribution dataset that has OOD sets"):
        load(thesis)


def test_what_is_not_there_is_told(thesis, load, tmp_path):
    places = {"results_dir": str(tmp_path / "r"), "downloads_dir": str(tmp_path / "d"),
              "archive_dirs": []}  # fmt: skip
    found = load(thesis | places)
    gaps = find_gaps(found)
    cifar = found.pairs["natural-cifar10"]
    config = gaps.shortcuts_config(cifar)
    lost = [entry["dataset"] for entry in config["ood"] if not entry["available"]]
    assert lost == ["imagenet30"]  # needs a browser
    assert [OODSet(**entry).dataset for entry in config["ood"]] == [s.dataset for s in cifar.ood]
    made = {pairs.name for pairs in gaps.pairs(found.pairs.values())}
    assert made == {"natural-cifar10", "natural-cifar100", "medical-hyper_kvasir"}
    told = {p["run"]: p.get("status") for p in gaps.spec("table_shortcuts_medical")["shortcuts"]}
    assert told == {"medical-rsna": "no_data", "medical-hyper_kvasir": None,
                    "medical-lag": "no_data"}  # fmt: skip
    lost = {gap.name for gap in gaps.of(found.targets["table_shortcuts_medical"])}
    assert lost == {"rsna", "lag"}
    assert cifar.train in used_sets(found, gaps)
    json.dumps(config)
    assert not Path(places["results_dir"]).exists()
