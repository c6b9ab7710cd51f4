"""The small study, made once: it takes minutes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))

from small_study import Study, make_study


@dataclass(frozen=True)
class Finished:
    """A study whose targets are all made, and what Snakemake said."""

    study: Study
    log: str


@pytest.fixture
def fresh(tmp_path) -> Study:
    """A study in which nothing has been made."""
    return make_study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    """`snakemake all`, from nothing."""
    study = make_study(tmp_path_factory.mktemp("thesis") / "study")
    code, log = study.snakemake("all")
    assert code == 0, log
    return Finished(study, log)
