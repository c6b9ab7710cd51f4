"""Several catalogues laid over each other, and what lies on this disk."""

from __future__ import annotations

import json

import pytest
import yaml
from support.configs import ROOT, THESIS
from support.own_images import write_pictures

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.catalogues import as_variables, from_variables, load_catalogues
from ssl_ood.datasets.fetch import fetch
from ssl_ood.datasets.local import _listed, state_of
from ssl_ood.study.gaps import find_gaps
from ssl_ood.study.read import read_study

SHIPPED = ROOT / "resources" / "datasets.yaml"


def entry(path="films", **more):
    return {
        "title": "Films", "kind": "own", "access": "local", "reader": "image_folders",
        "archives": [{"path": path}], "splits": {"train": {}, "test": {}}, **more,
    }  # fmt: skip


@pytest.fixture
def mine(tmp_path):
    """A function: writes a catalogue of these datasets; gives its path."""

    def write(name="mine.yaml", **datasets):
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"datasets": datasets}), encoding="utf-8")
        return path

    return write


def test_an_entry_takes_the_place_of_one_of_its_name_as_a_whole_and_is_said(mine, tmp_path):
    own = mine(films=entry(), texture=entry("dtd"))
    later = mine("later.yaml", films=entry("other"))
    found = load_catalogues([SHIPPED, own, later], {"slides": entry("/abs/slides")})
    shipped = load_catalogue(SHIPPED)
    assert found.datasets.keys() == shipped.keys() | {"films", "slides"}
    assert found.datasets["cifar10"] == shipped["cifar10"] and found.weights
    texture = found.datasets["texture"]
    assert texture.title == "Films" and texture.citation is None and texture.options == {}
    assert texture.archives[0].path == str(tmp_path / "dtd")
    assert found.datasets["texture_test1"].archives == texture.archives  # derived from what counts
    assert found.datasets["films"].archives[0].path == str(tmp_path / "other")
    assert found.datasets["slides"].archives[0].file == "slides"
    assert found.replaced == {
        "texture": f"{own} replaces the entry texture of {SHIPPED}.",
        "films": f"{later} replaces the entry films of {own}.",
    }


def test_a_set_may_be_derived_from_one_of_another_catalogue(mine):
    derived = {"title": "Part", "derive": {"from": "cifar10", "limit": {"train": 5}}}
    found = load_catalogues([SHIPPED, mine(part=derived)])
    assert found.datasets["part"].store == "cifar10"


def test_jobs_are_told_files_and_entries(mine, monkeypatch):
    files = [str(SHIPPED), str(mine(films=entry()))]
    for name, value in as_variables(files, {"slides": entry("/s")}).items():
        monkeypatch.setenv(name, value)
    told = from_variables()
    assert told == (files, {"slides": entry("/s")})
    assert load_catalogues(*told).datasets.keys() > {"films", "slides", "cifar10"}


def test_what_is_local_needs_a_path_and_what_is_not_has_none(mine):
    free = {**entry(), "access": "free", "licence": None, "citation": None}
    for wrong, message in (
        (entry(archives=[{"file": "films.zip"}]), "'path' is a required property"),
        ({**free, "splits": {"train": {"count": 3}}}, "'file' is a required property"),
        ({**free, "archives": [{"file": "films.zip"}]}, "'count' is a required property"),
    ):
        with pytest.raises(UserError, match=r"mine.yaml is wrong at datasets.films") as error:
            load_catalogue(mine(films=wrong))
        assert message in str(error.value)


def test_a_config_names_catalogues_and_a_local_folder_that_is_gone_is_a_gap(mine, tmp_path):
    write_pictures(tmp_path / "films", 3, name="a/{}.png")
    catalogue = mine(films=entry(splits={"test": {}}))
    config = {**THESIS, "catalogues": [str(catalogue)], "results_dir": str(tmp_path / "results")}
    study = THESIS["studies"]["natural"]
    home = dict(study["in_distribution"]["cifar10"])
    home["ood"] = [*home["ood"], "films"]
    config["studies"] = {**THESIS["studies"], "natural": {
        **study, "in_distribution": {**study["in_distribution"], "cifar10": home}}}  # fmt: skip
    found = read_study(config)
    assert find_gaps(found).sets.get("films/test-32px-squash") is None
    (tmp_path / "films").rename(tmp_path / "moved")
    gap = find_gaps(found).sets["films/test-32px-squash"]
    assert gap.sentence() == (
        f"Films: films is not there. Bring it back to {tmp_path}/films, or correct its path."
    )


def test_a_local_folder_is_listed_in_the_manifest_and_a_change_is_seen(mine, tmp_path):
    write_pictures(tmp_path / "films", 3, name="a/{}.png")
    dataset = load_catalogue(mine(films=entry()))["films"]
    (archive,) = fetch(dataset, tmp_path / "downloads")["archives"]
    assert archive["path"] == str(tmp_path / "films") and archive["bytes"] > 0
    assert [archive["sha256"]] == state_of(dataset)
    write_pictures(tmp_path / "films", 1, seed=7, name="a/1.png")
    _listed.cache_clear()
    assert [archive["sha256"]] != state_of(dataset)
    assert not (tmp_path / "downloads").exists()


def test_entries_of_before_are_as_they_were():
    """A key more in them would fetch, pack and train everything again."""
    told = json.dumps(load_catalogue(SHIPPED)["cifar10"].to_dict())
    assert '"path"' not in told and '"about"' not in told
