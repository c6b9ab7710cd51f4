"""Jobs in a conda environment or a container, with programs that pretend to be conda and apptainer.

Neither can be had where the tests run: what they would be asked is what is looked at here, and the
one real job runs its command as the pretended apptainer hands it on.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "docker://registry.invalid/ssl_ood"
CONDA = """#!/bin/sh
case "$*" in
*info*) echo '{"conda_prefix": "/opt/conda", "root_prefix": "/opt/conda", "platform": "linux-64"}';;
*channel_priority*) echo '{"get": {"channel_priority": "strict"}}';;
*--version*) echo conda 24.9.0;;
*) exit 1;;
esac
"""
APPTAINER = """#!/bin/bash
echo "$*" >>"$(dirname "$0")/calls"
if [ "$1" = --version ]; then echo apptainer version 1.3.4; exit; fi
while [ "$1" != -c ]; do shift; done
exec bash "$@"
"""


@pytest.fixture
def pretended(tmp_path) -> Path:
    """A folder of the programs, for the front of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("conda", CONDA), ("apptainer", APPTAINER)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def run(snakemake, pretended, tmp_path, monkeypatch):
    """Snakemake, with the programs on its PATH and results of its own."""
    monkeypatch.setenv("PATH", f"{pretended}{os.pathsep}{os.environ['PATH']}")

    def call(*arguments: str, config: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return snakemake(*arguments, "--config", f"results_dir={tmp_path / 'results'}", *config)

    return call


@pytest.mark.parametrize("ways", [["conda"], ["apptainer"], ["conda", "apptainer"]], ids=" ".join)
def test_a_table_can_be_planned_in_other_environments(run, planned, pretended, ways):
    options = ["table_negative_sampling", "-n", "--sdm", *ways]
    said = run(*options, config=("strict=true", f"container={IMAGE}"))
    assert said.returncode == 0, said.stdout
    assert planned(said.stdout)["train"] == 10
    # An image that is set and not asked for is not looked at.
    assert (pretended / "calls").exists() == ("apptainer" in ways)
    assert said.stdout.count(f"image {IMAGE} will be pulled") == ("apptainer" in ways)


def test_a_job_runs_in_the_image_of_the_config(run, pretended, tmp_path):
    image = tmp_path / "it.sif"
    image.touch()
    options = ["table_protocol_choices", "--cores", "1", "--sdm", "apptainer"]
    said = run(*options, config=(f"container={image}",))
    assert said.returncode == 0, said.stdout
    version, job = (pretended / "calls").read_text().split("\nexec ")
    assert version == "--version" and f" {image} " in job and "python -m ssl_ood table" in job
    assert (tmp_path / "results/tables/table_protocol_choices.csv").stat().st_size > 1000


def test_without_an_image_nothing_runs_outside_of_one_by_mistake(run):
    said = run("table_protocol_choices", "-n", "--sdm", "apptainer")
    assert said.returncode != 0
    assert "--sdm apptainer: the config names no container" in said.stdout


def test_the_recipes_share_their_steps_and_take_a_commit():
    install = ROOT / "container/install.sh"
    assert os.access(install, os.X_OK)
    assert subprocess.run(["sh", "-n", install]).returncode == 0
    for name in ("Containerfile", "ssl_ood.def"):
        text = (ROOT / "container" / name).read_text()
        assert "/opt/ssl_ood/container/install.sh" in text and "git archive" in text
        assert "debian:12-slim" in text
