"""The lists of both sides of a split, and what is said where the sides share something."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssl_ood import cli
from ssl_ood.common.errors import UserError
from ssl_ood.datasets.catalogue import Archive, Dataset, Split
from ssl_ood.datasets.pack import pack
from ssl_ood.datasets.splits import write_split


@pytest.fixture
def films(make, tmp_path):
    """A function: a dataset of films with these names, packed as `split` at 8 pixels."""

    def write(name: str, split: str, names: list[str], group: str | None, store: str = "films"):
        folder = tmp_path / "archives" / f"{name}-{split}"
        for i, film in enumerate(names):
            path = folder / "x" / film
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make.encoded(np.full((8, 8), i, np.uint8)))
        dataset = Dataset(
            name=name, title=name, kind="medical", access="request", reader="image_folders",
            splits={split: Split(len(names))}, archives=(Archive("x", folder=True),), store=store,
            options={"root": "", "labels": "none"}, group=group,
        )  # fmt: skip
        entry = {"file": "x", "path": str(folder), "bytes": 1, "sha256": "0", "verified": False}
        target = tmp_path / "data" / name / f"{split}-8px"
        pack(dataset, split, 8, {"archives": [entry]}, target, workers=1)
        return dataset

    return write


PATIENT = r"(p[0-9]+)_[0-9]+[.]png$"


def test_both_sides_are_listed(films, tmp_path):
    train = films("films", "train", ["p1_0.png", "p1_1.png", "p2_0.png"], PATIENT)
    films("films", "test", ["p3_0.png"], PATIENT)
    output = tmp_path / "splits" / "films.json"
    found = write_split({"films": train}, tmp_path / "data", "films/train", "films/test", 8, output)
    assert found == json.loads(output.read_text())
    assert found["train"] == {
        "set": "films/train",
        "images": 3,
        "patients": 2,
        "files": ["x/p1_0.png", "x/p1_1.png", "x/p2_0.png"],
    }
    assert found["test"]["patients"] == 1 and found["test"]["files"] == ["x/p3_0.png"]
    unknown = {"films": replace(train, group=None)}
    found = write_split(unknown, tmp_path / "data", "films/train", "films/test", 8, output)
    assert found["train"]["patients"] is None and found["test"]["images"] == 1


@pytest.mark.parametrize(
    ("test", "group", "message"),
    [
        (
            ["p2_0.png", "p3_0.png"],
            None,
            "1 image.s. are in films/train and in films/test too, for example x/p2",
        ),
        (["p2_1.png", "p1_7.png", "p3_0.png"], PATIENT, "2 patient.s. are in .*, for example p1"),
    ],
)
def test_a_shared_image_or_patient_is_refused(films, tmp_path, test, group, message):
    dataset = films("films", "train", ["p1_0.png", "p1_1.png", "p2_0.png"], group)
    films("films", "test", test, group)
    output = tmp_path / "films.json"
    with pytest.raises(UserError, match=message):
        write_split({"films": dataset}, tmp_path / "data", "films/train", "films/test", 8, output)
    assert not output.exists()


def test_sets_derived_from_one_archive_are_compared_and_others_refused(films, tmp_path):
    train = films("films", "train", ["p1_0.png"], PATIENT)
    ill = films("films_ill", "test", ["p1_3.png"], PATIENT)
    other = films("other", "test", ["p1_0.png"], None, store="other")
    catalogue = {"films": train, "films_ill": ill, "other": other}
    ways = [tmp_path / "data", "films/train"]
    with pytest.raises(UserError, match=r"1 patient.s. are in films/train and in films_ill/test"):
        write_split(catalogue, *ways, "films_ill/test", 8, tmp_path / "f.json")
    with pytest.raises(UserError, match="films/train and other/test come out of different archive"):
        write_split(catalogue, *ways, "other/test", 8, tmp_path / "f.json")
    with pytest.raises(UserError, match="packed set is named DATASET/SPLIT"):
        write_split(catalogue, *ways, "films", 8, tmp_path / "f.json")


def test_from_the_command_line(films, tmp_path, capsys, catalogue):
    rsna = catalogue["rsna"]
    films("rsna", "train_0", ["a.png", "b.png"], rsna.group)
    films("rsna", "test_0", ["c.png"], rsna.group)
    films("rsna_opacity", "test", ["b.png"], rsna.group)
    source = Path(__file__).resolve().parents[2] / "resources" / "datasets.yaml"
    stage = ["splits", "--data", tmp_path / "data", "--size", 8, "--catalogue", source]
    stage += ["--train", "rsna/train_0", "--output", tmp_path / "list.json", "--test"]
    assert cli.main([str(a) for a in [*stage, "rsna/test_0"]]) == 0
    said = capsys.readouterr()
    assert "rsna/train_0: 2 images of 2 patients, listed in" in said.out
    assert cli.main([str(a) for a in [*stage, "rsna_opacity/test"]]) == 2
    assert "ssl_ood splits: 1 image(s) are in rsna/train_0 and in" in capsys.readouterr().err
