"""The configs of the repository as Snakemake sees them, and Snakemake itself."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from golden.cells import KERNELS

from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.weights import load_weights
from ssl_ood.study.layers import merge, without_nulls
from ssl_ood.study.read import read_study

ROOT = Path(__file__).parents[2]
CATALOGUE = load_catalogue(ROOT / "resources" / "datasets.yaml")
WEIGHTS = load_weights(ROOT / "resources" / "datasets.yaml", validate=False)


def read(*names):
    layers = [yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in names]
    return without_nulls(merge(*layers))


THESIS = read("config.yaml")
DEMO = read("config.yaml", "profiles/demo/study.yaml")


@pytest.fixture
def thesis() -> dict:
    return copy.deepcopy(THESIS)


@pytest.fixture
def demo() -> dict:
    return copy.deepcopy(DEMO)


@pytest.fixture(scope="session")
def catalogue():
    return CATALOGUE


@pytest.fixture(scope="session")
def weights():
    return WEIGHTS


@pytest.fixture(scope="session")
def load():
    """A function: checks a config and expands it."""

    def check_and_load(config):
        return read_study(config)

    return check_and_load


@pytest.fixture(scope="session")
def snakemake():
    """A function: runs Snakemake in the repository; returns the finished process."""

    def run(*arguments, timeout=1800):
        environment = os.environ | KERNELS
        command = [sys.executable, "-m", "snakemake", *map(str, arguments), "--nocolor"]
        return subprocess.run(
            command, cwd=ROOT, env=environment, timeout=timeout, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def planned():
    """A function: the jobs of a dry-run by rule, from what Snakemake printed."""

    def read_plan(said):
        rows = [row.split() for row in said.splitlines()]
        return {r[0]: int(r[1]) for r in rows if len(r) == 2 and r[1].isdigit()}

    return read_plan
