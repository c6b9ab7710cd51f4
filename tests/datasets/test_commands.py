"""The command line: fetch, pack and the table of datasets, in a process of their own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.datasets import commands

CATALOGUE = str(Path(__file__).resolve().parents[2] / "resources" / "datasets.yaml")


def ssl_ood(*arguments):
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers(required=True))
    options = parser.parse_args([str(a) for a in arguments])
    return options.run(options)


@pytest.fixture
def places(tmp_path):
    return ["--catalogue", CATALOGUE, "--downloads", tmp_path / "d", "--archive-dirs"]


def test_fetch_then_pack(places, tmp_path, capsys):
    manifest, folder = tmp_path / "archives" / "coins.json", tmp_path / "coins" / "test-32px"
    ssl_ood("fetch", "coins", *places, "--manifest", manifest)
    assert "coins: 1 archive(s) from package scikit-image" in capsys.readouterr().out
    assert json.loads(manifest.read_text())["dataset"] == "coins"
    pack = ["pack", "coins", "--catalogue", CATALOGUE, "--split", "test", "--size", 32]
    ssl_ood(*pack, "--manifest", manifest, "--output", folder, "--workers", 1)
    assert f"{folder}: 500 images of 32 pixels" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"There is no manifest .*run `ssl_ood fetch coins --manifest"
    ):
        ssl_ood(*pack, "--manifest", tmp_path / "none.json", "--output", folder)
    with pytest.raises(UserError, match="--size is the side of the images in pixels, not 0"):
        ssl_ood(*pack, "--size", 0, "--manifest", manifest, "--output", folder)


def test_the_table_says_what_is_there_and_what_to_do(places, tmp_path, capsys):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "ILSVRC2012_img_train.tar").touch()
    ssl_ood("datasets", *places, tmp_path / "shared")
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.split("\n\n")[0].splitlines()}
    assert "to download: 1 file(s)" in rows["cifar10"] and "163 MiB" in rows["cifar10"]
    assert f"in {tmp_path / 'shared'}" in rows["imagenet"] and "1,281,167" in rows["imagenet"]
    assert "MISSING, see below" in rows["rsna"] and "unverified" in rows["rsna"]
    assert "in installed packages" in rows["coins"] and "CC BY 4.0" in rows["hyper_kvasir"]
    assert "rsna: rsna-pneumonia-detection-challenge.zip. Log in at Kaggle" in text
    assert "snakemake datasets" in text


def test_the_folders_are_those_of_the_config(tmp_path, capsys, monkeypatch):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "ILSVRC2012_img_train.tar").touch()
    config = f"archive_dirs: [{tmp_path / 'shared'}]\ndownloads_dir: elsewhere\n"
    (tmp_path / "config.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    ssl_ood("datasets", "imagenet", "lag", "--catalogue", CATALOGUE)
    said = capsys.readouterr().out
    assert f"in {tmp_path / 'shared'}" in said and "into elsewhere/DATASET" in said


def test_the_table_of_some(places, capsys):
    ssl_ood("datasets", "coins", "dti", *places)
    assert len(capsys.readouterr().out.split("\n\n")[0].splitlines()) == 3
    with pytest.raises(UserError, match="Did you mean 'coins'"):
        ssl_ood("datasets", "coin", *places)


def test_missing_archives_stop_a_workflow_before_any_job(places, tmp_path):
    ssl_ood("datasets", "coins", "cifar10", *places, tmp_path, "--check")
    with pytest.raises(UserError, match=r"(?s)rsna: .*\n  lag: LAG. Ask the authors"):
        ssl_ood("datasets", "cifar10", "rsna", "lag", *places, tmp_path, "--check")
