"""What a run was made from, along the runs and weights that it starts from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.evaluation.bundles.sources import Catalogue, read_catalogues, sources_of, terms_of_all

CATALOGUE = Path(__file__).parents[2] / "resources" / "datasets.yaml"
CON, TUNED = "rsna_pretraining-rsna-none-base-seed0", "label_efficiency-lag-none-con-seed0"
CONFIGS = {
    CON: {"in_distribution": "rsna", "initial": {"weights": "moco_v2_imagenet"}, "negatives": []},
    TUNED: {
        "in_distribution": "fashion_low",
        "initial": {"run": CON},
        "negatives": [{"source": "hyper_kvasir"}],
    },
}


@pytest.fixture
def results(tmp_path):
    for run, config in CONFIGS.items():
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config | {"run": run}))
    return tmp_path


def found(results, run, catalogue, tested=()):
    return sources_of(results, CONFIGS[run] | {"run": run}, tested, catalogue)


def test_weights_carry_what_they_were_made_from(results):
    """MoCo's are CC BY-NC, and RSNA's images are under the rules of a competition."""
    catalogue = read_catalogues([CATALOGUE])
    entries = found(results, TUNED, catalogue, ["svhn"])
    roles = {entry["name"]: entry["roles"] for entry in entries}
    assert roles == {
        "fashion_low": ["trained on"], "hyper_kvasir": ["negatives"], "rsna": ["trained on"],
        "moco_v2_imagenet": ["initial weights"], "svhn": ["tested on"],
    }  # fmt: skip
    assert terms_of_all(entries)["because"] == ["rsna"]
    without = [entry for entry in entries if entry["name"] != "rsna"]
    assert terms_of_all(without) == {
        "kind": "non-commercial",
        "forbids": next(e["forbids"] for e in entries if e["name"] == "moco_v2_imagenet"),
        "because": ["moco_v2_imagenet"],  # what it is only tested on forbids nothing
    }


def test_checksums_are_those_that_were_read_here_without_their_paths(results):
    manifest = {"archives": [{"file": "svhn.mat", "path": "/secret", "sha256": "5" * 64}]}
    dataset = next(iter(read_catalogues([CATALOGUE]).datasets.values()))
    (results / "archives").mkdir()
    manifest["archives"][0]["file"] = dataset.archives[0].file
    (results / "archives" / f"{dataset.store}.json").write_text(json.dumps(manifest))
    catalogue = Catalogue({dataset.name: dataset})
    (entry,) = [e for e in found(results, CON, catalogue, [dataset.name]) if e["archives"]]
    assert entry["archives"] == [{"file": dataset.archives[0].file, "sha256": "5" * 64}]


def test_what_the_catalogue_does_not_know_states_no_licence(results):
    entries = found(results, CON, Catalogue())
    assert {entry["licence"] for entry in entries} == {None}
    assert terms_of_all(entries)["kind"] == "not stated"


def test_a_run_whose_start_is_gone_cannot_say_what_it_was_made_from(results):
    (results / "runs" / CON / "config.json").unlink()
    with pytest.raises(UserError, match=r"starts from the weights of .* bring that run back"):
        found(results, TUNED, Catalogue())
