"""`ssl_ood migrate`: results of another version are refused, with the commit that reads them."""

from __future__ import annotations

import pytest

from ssl_ood.cli import main
from ssl_ood.common.files import write_json
from ssl_ood.common.settings import SCHEMA, schema_of


def run(results, name, **config):
    write_json(results / "runs" / name / "config.json", {"run": name, **config})


def test_the_version_is_that_of_the_oldest_run(tmp_path):
    assert schema_of(tmp_path) is None
    run(tmp_path, "new", schema=SCHEMA)
    assert schema_of(tmp_path) == SCHEMA
    run(tmp_path, "old")
    assert schema_of(tmp_path) == 1
    (tmp_path / "runs/old/config.json").write_text('{"run"')  # being written
    assert schema_of(tmp_path) == SCHEMA
    write_json(tmp_path / "schema.json", {"schema": 7})
    assert schema_of(tmp_path) == 7


def test_results_of_the_first_version_are_refused_with_the_commit_that_reads_them(tmp_path, capsys):
    run(tmp_path, "old")
    (tmp_path / "archives").mkdir()
    assert main(["migrate", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "schema 1" in said and "commit ccf5649" in said
    assert "into which archives of this one can be moved" in said


@pytest.mark.parametrize("version", [None, SCHEMA])
def test_results_of_this_version_and_none_are_fine(tmp_path, version, capsys):
    if version:
        run(tmp_path, "new", schema=version)
    assert main(["migrate", str(tmp_path)]) == 0
    assert "nothing is to be migrated" in capsys.readouterr().out


def test_results_of_a_newer_version_and_none_at_all_are_refused(tmp_path, capsys):
    run(tmp_path, "newer", schema=SCHEMA + 1)
    assert main(["migrate", str(tmp_path)]) == 2
    assert "update this clone" in capsys.readouterr().err
    assert main(["migrate", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err
