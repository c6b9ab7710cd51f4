"""The small study, made once: it takes minutes."""

from __future__ import annotations

import fcntl
import os
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
    """`snakemake all`, from nothing. Made by the first worker that needs it, for all of them: who
    wants to change it makes a copy."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    study, said = Study(folder / "thesis" / "study"), folder / "thesis" / "said"
    with open(folder / "thesis.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            assert not study.folder.exists(), "another worker has tried, and failed, to make it"
            make_study(study.folder)
            code, log = study.snakemake("all")
            assert code == 0, log
            said.write_text(log, encoding="utf-8")
    return Finished(study, said.read_text(encoding="utf-8"))
