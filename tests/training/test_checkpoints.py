"""Checkpoints: whole or not at all, verified, the right ones kept, one process per run."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError
from ssl_ood.common.files import atomic_path
from ssl_ood.training import checkpoints

CPU = torch.device("cpu")
CONFIG = {"run": "a", "training": {"lr_base": 0.1}}
OTHER = {"run": "a", "training": {"lr_base": 0.2}}


def save(folder, step, config=CONFIG):
    checkpoints.save(folder, step, {"step": step, "weights": torch.full((100,), step)}, config)


def steps(folder):
    return sorted(int(path.stem.removeprefix("step_")) for path in folder.glob("step_*.pt"))


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    for step in (5, 10, 200):
        save(tmp_path, step)
    state = checkpoints.load(tmp_path, CONFIG, CPU)
    assert state["step"] == 200
    assert torch.equal(state["weights"], torch.full((100,), 200))
    assert steps(tmp_path) == [10, 200]
    assert len(list(tmp_path.iterdir())) == 4  # each with its json


def test_nothing_to_load_is_none(tmp_path):
    assert checkpoints.load(tmp_path / "missing", CONFIG, CPU) is None


@pytest.mark.parametrize("where", [0, 200, -1])
def test_a_damaged_one_is_passed_over_and_said(tmp_path, capsys, where):
    save(tmp_path, 5)
    save(tmp_path, 10)
    path = tmp_path / "step_00000010.pt"
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    assert checkpoints.load(tmp_path, CONFIG, CPU)["step"] == 5
    said = capsys.readouterr().err
    assert said == (
        "checkpoint step_00000010.pt is not used: its content is damaged (checksum differs)\n"
    )


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"step": 10}'])
def test_one_without_a_whole_json_was_not_finished(tmp_path, capsys, content):
    save(tmp_path, 5)
    save(tmp_path, 10)
    note = tmp_path / "step_00000010.json"
    note.unlink() if content is None else note.write_text(content)
    assert checkpoints.load(tmp_path, CONFIG, CPU)["step"] == 5
    assert "step_00000010.pt is not used: it was not finished" in capsys.readouterr().err


def test_one_of_another_config_is_never_resumed(tmp_path, capsys):
    save(tmp_path, 5, OTHER)
    assert checkpoints.load(tmp_path, CONFIG, CPU) is None
    assert "it belongs to another configuration of the run" in capsys.readouterr().err


def test_a_new_start_is_kept_though_old_checkpoints_are_further(tmp_path):
    """After an edit of the config: the old ones' higher steps must not crowd out the new."""
    for step in (400, 500):
        save(tmp_path, step, OTHER)
    save(tmp_path, 3)
    assert steps(tmp_path) == [3]
    assert checkpoints.load(tmp_path, CONFIG, CPU)["step"] == 3


def test_a_damaged_one_that_was_passed_over_goes_with_the_next_save(tmp_path):
    for step in (5, 10):
        save(tmp_path, step)
    (tmp_path / "step_00000010.pt").write_bytes(b"half")
    save(tmp_path, 7)
    assert steps(tmp_path) == [5, 7]


def test_what_a_killed_save_left_is_removed(tmp_path):
    (tmp_path / ".step_00000004.pt.123.partial").write_bytes(b"half")
    save(tmp_path, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000005.json", "step_00000005.pt"]


def test_one_process_a_run(tmp_path):
    with checkpoints.exclusive(tmp_path / "run"):
        with pytest.raises(UserError) as error, checkpoints.exclusive(tmp_path / "run"):
            raise AssertionError("two at a time")
        with checkpoints.exclusive(tmp_path / "other run"):
            pass
    with checkpoints.exclusive(tmp_path / "run"):
        pass
    assert str(error.value) == (
        f"Another process is training this run already (it holds {tmp_path / 'run' / 'lock'}): "
        "wait for it or stop it."
    )


def test_a_file_that_could_not_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as partial:
        partial.write_text("new")
        raise RuntimeError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_without_file_locks_is_a_warning(tmp_path, monkeypatch, capsys):
    """Lustre mounted without them, for one: the training must not end with a traceback."""

    def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with checkpoints.exclusive(tmp_path / "run"):
        pass
    said = capsys.readouterr().err
    assert "has no file locks (Function not implemented)" in said
    assert "no other process is training this run" in said
