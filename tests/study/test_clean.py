"""`ssl_ood clean`: what a results folder holds, and what is removed of it, and what never."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_ood.cli import main
from ssl_ood.common.files import write_json
from ssl_ood.common.locks import exclusive
from ssl_ood.study import clean
from ssl_ood.study.clean import KINDS


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with two files of every kind, and some of no kind."""
    folder = tmp_path / "results"
    for kind in KINDS.values():
        for run in ("run_a", "run_b"):
            path = folder / kind.paths[0] / run / "file.bin"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x" * 5000)
    write_json(folder / "runs/run_a/config.json", {"run": "run_a"})
    (folder / "report.html").write_text("a report")
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def run(results: Path, *arguments: str) -> int:
    return main(["clean", *arguments, "--results", str(results)])


def test_without_a_kind_it_lists_and_removes_nothing(results, capsys):
    before = files(results)
    assert run(results) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*KINDS, "all", "total"]
    assert all(" 2 files" in line or line.startswith(("runs", "all", "total")) for line in lines)
    assert files(results) == before


def test_sizes_are_those_of_du(results):
    amount, count = clean.usage(results)
    said = subprocess.check_output(["find", results, "-type", "f", "-printf", "%b\n"], text=True)
    assert amount == 512 * sum(map(int, said.split()))
    assert count == len(said.split()) == 2 * len(KINDS) + 2


def test_it_removes_what_it_is_asked_for_and_says_how_much(results, capsys):
    before = files(results)
    (results / "features/run_a/large.bin").write_bytes(b"x" * 3_000_000)
    assert run(results, "checkpoints", "features", "--yes") == 0
    assert files(results) == {
        *(name for name in before if not name.startswith(("checkpoints", "features"))),
        "checkpoints/run_a/lock", "checkpoints/run_b/lock",  # another process may wait for one
    }  # fmt: skip
    assert not (results / "features").exists()
    assert capsys.readouterr().out.endswith("3.0 MB are free again.\n")


def test_without_yes_it_asks(results, capsys, monkeypatch):
    before = files(results)
    assert run(results, "scores") == 2  # there is nobody to ask
    assert "add --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert run(results, "scores") == 2 and files(results) == before
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert run(results, "scores") == 0
    assert files(results) == {name for name in before if not name.startswith("scores")}


def test_links_go_and_what_they_point_to_stays(results, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (results / "features/linked").symlink_to(outside)
    (results / "features/run_a/linked").symlink_to(outside / "precious")
    assert run(results, "features", "--yes") == 0
    assert files(outside) == {"precious"} and not (results / "features").exists()


def test_the_folder_of_a_kind_on_another_disk_is_named_and_emptied(results, tmp_path, capsys):
    elsewhere = tmp_path / "scratch"
    (results / "features").rename(elsewhere)
    (results / "features").symlink_to(elsewhere)
    assert run(results) == 0
    assert f"features (in {elsewhere})" in capsys.readouterr().out
    assert run(results, "features", "--yes") == 0
    assert list(elsewhere.iterdir()) == [] and (results / "features").is_symlink()


def test_a_link_to_what_holds_the_results_is_refused(results, tmp_path, capsys):
    before = files(results)
    (results / "downloads").symlink_to(tmp_path)
    assert run(results, "archives", "--yes") == 2
    assert "which holds the results themselves" in capsys.readouterr().err
    assert files(results) >= before


def test_files_of_a_running_training_stay(results, capsys):
    before = files(results)
    with exclusive(results / "checkpoints/run_a/lock", "training this run"):
        assert run(results, "checkpoints", "--yes") == 0
        assert "run_a belongs to a training that is running" in capsys.readouterr().out
        for kind in ("packed", "weights", "runs"):
            assert run(results, kind, "--yes") == 2
            assert "may be read by the training of run_a" in capsys.readouterr().err
    gone = before - files(results)
    assert gone == {"checkpoints/run_b/file.bin"}


def test_a_training_elsewhere_is_known_by_its_progress(results):
    path = results / "progress/run_a.json"
    write_json(path, {"updated": time.time()})
    assert run(results, "checkpoints", "--yes") == 0
    assert "checkpoints/run_a/file.bin" in files(results)
    write_json(path, {"updated": time.time() - 2 * clean.SILENT})
    assert run(results, "checkpoints", "--yes") == 0
    assert "checkpoints/run_a/file.bin" not in files(results)


def test_a_set_that_is_being_packed_stays(results, capsys):
    before = files(results)
    with exclusive(results / "data/run_a/.train-32px.lock", "packing this set"):
        assert run(results, "packed", "--yes") == 2
    assert "is just being written" in capsys.readouterr().err
    assert files(results) >= before


def test_a_folder_that_holds_no_results_is_left_alone(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine").write_text("x")
    assert run(tmp_path, "packed", "--yes") == 2
    assert "is not a results folder" in capsys.readouterr().err
    assert files(tmp_path) == {"data/mine"}


def test_an_unknown_kind_is_refused(results, capsys):
    assert run(results, "feature") == 2
    assert "unknown kind of files 'feature'; did you mean 'features'?" in capsys.readouterr().err
