"""Objects against texture, from ImageNet's archives and published weights to its table."""

from __future__ import annotations

import numpy as np
import pytest
import writers
import yaml
from small_archives import scenes
from small_study import SGD, Study, planned, rows_of

pytestmark = pytest.mark.thesis

VALIDATION = 14  # images of the small archive, of which 12 are taken
TINY = {
    "training": SGD,
    "views": {"size": 32, "resize": 36, "band": 1},
    "backbone": {"name": "resnet18"},
}


def shown(overlay: dict) -> None:
    """Lets the small study have the table, with small networks."""
    del overlay["tables"]["table_objects_texture"]
    overlay["methods"]["objects"] = TINY
    overlay["studies"]["objects_texture"] = {"size": 36}


def write_validation(study: Study) -> None:
    """ImageNet's second archive, and a catalogue that knows it."""
    images = scenes(np.random.default_rng(8), VALIDATION, 75, 100)
    writers.imagenet_val(study.archives, images, writers.jpeg)
    study.write_config(shown)
    path = study.folder / "datasets.yaml"
    catalogue = yaml.safe_load(path.read_text(encoding="utf-8"))
    catalogue["datasets"]["imagenet"]["splits"]["val"]["count"] = VALIDATION
    path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")


def test_without_the_validation_images_no_cell_has_a_number_and_with_them_all_have(fresh):
    fresh.write_config(shown)
    code, said = fresh.snakemake("table_objects_texture")
    assert code == 0 or "Not all data are there" in said, said
    rows = {
        row["variant"]: row for row in rows_of(fresh.results("tables/table_objects_texture.csv"))
    }
    assert {(row["status"], row["measured"]) for row in rows.values()} == {("no_data", "")}
    assert {name: row["reported"] for name, row in rows.items()} == {
        "base": "85.0", "imagenet_classifier": "78.0",
    }  # fmt: skip

    write_validation(fresh)
    code, said = fresh.snakemake("table_objects_texture")
    assert code == 0, said
    jobs = planned(said)
    assert (jobs["train"], jobs["evaluate"], jobs["table"]) == (2, 2, 1)
    rows = {
        row["variant"]: row for row in rows_of(fresh.results("tables/table_objects_texture.csv"))
    }
    for row in rows.values():
        assert row["status"] == "measured" and row["n"] == "1"
        decisions = float(row["measured"]) / 100 * 2 * 12  # of 12 images, two each
        assert 0 <= decisions <= 24 and decisions == pytest.approx(round(decisions))
        difference = float(row["measured"]) - float(row["reported"])
        assert float(row["difference"]) == pytest.approx(difference)
