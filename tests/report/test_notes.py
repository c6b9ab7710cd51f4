"""Notes on the values that the thesis prints stand under the tables that show them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.report.notes import read_notes
from ssl_ood.report.reported import NOTES, by_key, read_reported
from ssl_ood.report.results import load_results

ROOT = Path(__file__).parents[2]
NONE, ROT = "none", "rot_imgn"


@pytest.fixture
def notes(reported):
    return read_notes(reported / NOTES)


def fill(study):
    for strategy in (NONE, ROT, "dti", "rot_dti"):
        study.fill("cifar10", strategy, 0, auroc=0.9)


def test_every_note_is_of_values_that_are_there(reported, notes):
    values = by_key(read_reported(reported))
    catalogue = load_catalogue(ROOT / "resources" / "datasets.yaml")
    for note in notes:
        found = [key for key in values if key.artefact == note["artefact"]]
        if note["train"]:
            found = [key for key in found if key.in_distribution == note["train"]]
            assert note["train"] in catalogue
        assert found, note
        for ood in note["ood"].split():
            assert any(key.dataset == ood for key in found), note
        for method in filter(None, map(str.strip, note["method"].split(","))):
            assert any(method in (key.system, key.strategy) for key in found), note
        assert not note["note"].endswith(".") and not note["source"].endswith("."), note


def test_numbers_in_a_note_are_those_that_are_printed(reported, notes):
    """What a note calls a printed value is one: of the same artefact, method and OOD set."""
    values = by_key(read_reported(reported))
    (ssd,) = [n for n in notes if n["method"] == "SSD" and "checkpoint" in n["note"]]
    told = re.findall(r"\d\d\.\d\d", ssd["note"])
    cells = [
        entry.value
        for ood in ssd["ood"].split()
        for key, entry in values.items()
        if (key.artefact, key.in_distribution, key.dataset, key.system)
        == ("table_6_1", "cifar10", ood, "SSD")
    ]
    assert [float(number) for number in told] == cells
    (slip,) = [n for n in notes if "a likely slip" in n["note"]]
    both = [
        [values_of(values, ood, strategy) for ood in slip["ood"].split()]
        for strategy in ("dti", "rot_dti")
    ]
    assert both[0] == both[1] == [float(x) for x in re.findall(r"\d\d\.\d\d", slip["note"])]


def values_of(values, ood, strategy):
    (value,) = [
        entry.value
        for key, entry in values.items()
        if (key.artefact, key.dataset, key.strategy) == ("table_6_2", ood, strategy)
    ]
    return value


def test_notes_stand_under_the_table_that_shows_the_values(made, study, reported, names, tmp_path):
    fill(study)
    _, markdown, latex = made(study, reported, tmp_path, "table_negative_sampling",
                              in_distribution=["cifar10"], strategies=names.strategies,
                              reported="table_6_2")  # fmt: skip
    below = markdown[markdown.rindex("|") :]
    assert "Thesis. DTI and Rot. DTI, CIFAR-10 against CIFAR-100 and SVHN: identical" in below
    assert below.count("- Thesis. ") == 3
    assert "89.47" not in below and "MTL" not in below
    assert "identical values for DTI" in latex


def test_without_values_of_the_thesis_there_are_no_notes(made, study, reported, tmp_path):
    fill(study)
    _, markdown, _ = made(study, reported, tmp_path, "table_negative_sampling",
                          in_distribution=["cifar10"])  # fmt: skip
    assert "Thesis. " not in markdown
    (tmp_path / "own").mkdir()  # a folder of reported values without notes
    shutil.copy(reported / "table_6_2_negative_sampling.csv", tmp_path / "own")
    _, markdown, _ = made(study, tmp_path / "own", tmp_path, "table_negative_sampling",
                          in_distribution=["cifar10"], reported="table_6_2")  # fmt: skip
    assert "Thesis. " not in markdown


def test_hyper_kvasirs_split_is_told_under_tables_7_2_and_7_3(notes):
    told = {note["artefact"] for note in notes if "CCD's split of Hyper-Kvasir" in note["note"]}
    assert told == {"table_7_2", "table_7_3"}


def test_a_faulty_note_is_a_sentence(reported, tmp_path):
    text = (reported / NOTES).read_text(encoding="utf-8").replace("table_6_1,", "Table 6.1,", 1)
    (tmp_path / NOTES).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"notes.csv: row 1 is wrong at artefact: 'Table 6.1'"):
        read_notes(tmp_path / NOTES)


def test_a_set_at_a_size_of_its_own_has_a_title(study, reported):
    fill(study)
    spec = study.spec("table_negative_sampling", in_distribution=["cifar10"])
    spec["runs"] = [run | {"beside": ["svhn@256"]} for run in spec["runs"]]
    results = load_results(spec, study.write(), reported)
    assert results.beside_sets("cifar10") == ["svhn@256"]
    assert results.title("datasets", "svhn@256") == "SVHN, straight to 256 px"
