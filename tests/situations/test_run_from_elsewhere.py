"""The workflow started from another folder, and as a module of another workflow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.situations import ROOT, snakemake, study_copy

from ssl_ood.common.errors import UserError
from ssl_ood.report.reported import by_key, read_reported
from ssl_ood.study.paths import anchored

CHEAP = "results/demo/archives/digits8x8.json"
MODULE = """
configfile: "CLONE/config.yaml"
configfile: "CLONE/profiles/demo/study.yaml"

module thesis:
    snakefile: "CLONE/workflow/Snakefile"
    config: config

use rule * from thesis as thesis_*

rule mine:
    input: "results/demo/archives/digits8x8.json"
    output: "mine.txt"
    shell: "cp {input:q} {output:q}"
"""


def listing(folder: Path) -> dict[Path, bytes]:
    """The files of a folder and what is in them, without compiled Python."""
    found = {}
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {Path(path) / name: (Path(path) / name).read_bytes() for name in names}
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone, in which nothing may be written."""
    folder = study_copy(tmp_path_factory.mktemp("code") / "clone")
    before = listing(folder)
    yield folder
    assert listing(folder) == before


def test_from_another_folder(clone, tmp_path):
    """`snakemake -s CLONE/Snakefile --configfile CLONE/config.yaml`: plans all, makes it here."""
    arguments = ("-s", clone / "Snakefile", "--configfile", clone / "config.yaml")
    said = snakemake("all", "-n", "--quiet", "rules", *arguments, folder=tmp_path)
    assert said.code == 0 and "table" in said.text, said.text[-2000:]
    assert not (tmp_path / "results").exists()
    arguments += (clone / "profiles/demo/study.yaml",)
    said = snakemake(CHEAP, *arguments, folder=tmp_path)
    assert said.code == 0 and (tmp_path / CHEAP).is_file(), said.text[-2000:]
    assert {path.name for path in tmp_path.iterdir()} <= {".snakemake", "results", "downloads"}


def test_as_a_module_of_another_workflow(clone, tmp_path):
    (tmp_path / "Snakefile").write_text(MODULE.replace("CLONE", str(clone)))
    said = snakemake("thesis_all_tables", "-n", "--quiet", "rules", folder=tmp_path)
    assert said.code == 0 and "thesis_train" in said.text, said.text[-2000:]
    said = snakemake("mine", folder=tmp_path)
    assert said.code == 0 and (tmp_path / "mine.txt").is_file(), said.text[-2000:]
    made = {path.name for path in tmp_path.iterdir()}
    assert made <= {".snakemake", "results", "downloads", "Snakefile", "mine.txt"}


def test_reported_values_are_those_of_the_clone(monkeypatch, tmp_path):
    """Wherever a table is made, and however reported_dir is written in the config that ships."""
    monkeypatch.chdir(tmp_path)
    folder = Path(anchored({"reported_dir": "resources/reported"})["reported_dir"])
    assert folder == ROOT / "resources/reported"
    assert len(by_key(read_reported(folder))) > 100


def test_a_folder_without_reported_values_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="reported_dir"):
        read_reported(tmp_path / "none")
