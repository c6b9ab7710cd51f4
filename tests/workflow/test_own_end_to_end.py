"""A folder of a person's own images through every rule, and what a further image does."""

from __future__ import annotations

import csv
import json
import shutil

import pyarrow.parquet as pq
import pytest
import yaml
from support.own_images import write_pictures, zipped

from ssl_ood.datasets.packed import open_packed

TINY = {
    "training": {"epochs": 1, "batch_size": 16, "warmup_epochs": 0, "stop_on_collapse": False},
    "views": {"positive": [2, 1], "negative": [1, 1]},
    "backbone": {"embed_dim": 16, "depth": 1, "num_heads": 2},
    "head": {"layers": 1, "hidden": 16, "bottleneck": 8, "out": 16},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory, snakemake):
    """A function: Snakemake on three lines of config, cut short in time."""
    home = tmp_path_factory.mktemp("own")
    write_pictures(home / "normal", 40, grey=True, name="{:02d}_a.png")
    write_pictures(home / "normal", 40, grey=True, seed=1, name="{:02d}_b.png")
    shutil.copy(home / "normal" / "00_a.png", home / "normal" / "01_c.png")
    ill = zipped(write_pictures(home / "ill", 12, seed=2), home / "ill.zip")
    own = {
        "images": str(home / "normal"), "ood": [str(ill)], "group": r"^(\d+)_", "override": TINY,
        "strategies": ["rot_indist"],
    }  # fmt: skip
    config = {
        "results_dir": str(home / "results"), "studies": {"mine": own}, "execution": {"devices": 0},
    }  # fmt: skip
    (home / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def run(*arguments):
        command = (*arguments, "--configfile", home / "mine.yaml")
        done = snakemake(*command, "--cores", 2, "--quiet", "rules")
        assert done.returncode == 0, done.stdout
        return done.stdout

    return home, run


def test_a_folder_ends_in_tables_and_a_further_image_is_seen(study, planned):
    home, run = study
    said = run("table_mine_thresholds", "table_mine_strategies")
    assert "Study mine: 81 grey images, the 81 looked at square, their median" in said
    results, name = home / "results", "mine-mine-rot_indist-base-seed0"
    told = json.loads((results / "evaluation" / f"{name}.json").read_text())
    assert told["calibration_split"] == "calibration"
    assert "calibration" not in (results / "runs" / name / "config.json").read_text()
    scores = pq.read_table(results / "scores" / f"{name}.parquet").to_pandas()
    counts = scores.role.value_counts()
    parts = {
        part: open_packed(results / "data" / "mine" / f"{part}-32px").files
        for part in ("train", "calibration", "test")
    }
    assert sum(map(len, parts.values())) == 81
    assert counts["calibration"] == len(parts["calibration"]) and counts["ood"] == 12
    whose = [{file.partition("_")[0] for file in files} for files in parts.values()]
    assert not (whose[0] & whose[1] or whose[0] & whose[2] or whose[1] & whose[2])
    assert any({"00", "01"} <= patients for patients in whose)  # joined by the copy
    with open(results / "tables" / "table_mine_thresholds.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {"", "mine_ill"}
    assert not planned(run("table_mine_thresholds", "-n"))
    write_pictures(home / "normal", 1, seed=9, name="50_a.png")
    jobs = planned(run("table_mine_thresholds", "-n"))
    assert jobs["fetch_dataset"] == 1 and jobs["pack_dataset"] == 3 and jobs["train"] == 1
