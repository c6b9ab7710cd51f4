"""Two people in one group, disks without locks, and systems that lack a call of Linux."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

import pytest
import torch
from support.situations import ROOT
from support.training import data, own_signals, pack, tiny  # noqa: F401

from ssl_ood.common import devices, files, locks
from ssl_ood.common.errors import UserError
from ssl_ood.datasets import commands
from ssl_ood.study.clean import describe, running
from ssl_ood.training.trainer import train

CATALOGUE = ROOT / "resources" / "datasets.yaml"
NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF)


def stage(*arguments: object) -> None:
    """A stage of the datasets, in this process."""
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers(required=True))
    options = parser.parse_args(list(map(str, arguments)))
    options.run(options)


@pytest.fixture
def study(tmp_path, tiny, data):  # noqa: F811
    """A function: fetches and packs a small set and trains a tiny run, in tmp_path/results."""
    results = tmp_path / "results"

    def fetch_and_pack():
        manifest = results / "archives" / "digits8x8.json"
        stage(
            "fetch", "digits8x8", "--catalogue", CATALOGUE, "--downloads", tmp_path / "downloads",
            "--archive-dirs", "--manifest", manifest,
        )  # fmt: skip
        stage(
            "pack", "digits8x8", "--catalogue", CATALOGUE, "--split", "test", "--size", 32,
            "--manifest", manifest, "--output", results / "data" / "digits8x8" / "test-32px",
        )  # fmt: skip

    def make():
        fetch_and_pack()
        train(
            tiny(training={"epochs": 1}), data, results / "runs" / "a",
            results / "checkpoints" / "a", progress=results / "progress" / "a.json",
            device=torch.device("cpu"), checkpoint_minutes=0.0,
        )  # fmt: skip
        return results

    make.fetch_and_pack = fetch_and_pack
    return make


@pytest.fixture
def shared():
    """The umask of people who share a group."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_files_and_folders_follow_the_umask(shared, study):
    """What one makes, locks included, another of the group may write to."""
    made = list(study().rglob("*"))
    assert sum(path.name.endswith("lock") for path in made) >= 2
    assert {path.name for path in made} >= {"meta.json", "model.safetensors", "train.json"}
    for path in made:
        assert path.stat().st_mode & 0o770 == (0o770 if path.is_dir() else 0o660), path


def test_where_nothing_has_to_be_written_no_lock_is_taken(study, monkeypatch):
    """So that a set of another person, on a disk that may only be read, can be used."""
    study.fetch_and_pack()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(locks, "exclusive", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    study.fetch_and_pack()


def test_a_lock_of_another_person_can_be_held(monkeypatch, tmp_path):
    """Whoever may read it: flock asks for no more."""
    path, really = tmp_path / "lock", os.open
    path.write_text("process 1 on another host")

    def only_for_reading(name, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return really(name, flags, *mode)

    monkeypatch.setattr(os, "open", only_for_reading)
    with locks.exclusive(path, "training this run"):
        assert locks.is_held(path)
    assert path.read_text() == "process 1 on another host"
    with (
        pytest.raises(PermissionError),
        locks.exclusive(tmp_path / "another", "training this run"),
    ):
        raise AssertionError("locked what is not there")


def test_a_training_into_a_folder_of_another_person_is_a_sentence(study, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(devices, "claim_gpus", lambda _: None)
    monkeypatch.setattr("ssl_ood.common.locks._open", refuse)
    monkeypatch.setattr(study, "fetch_and_pack", None)
    monkeypatch.setattr(commands, "run_pack", lambda _: None)
    with pytest.raises(UserError, match=r"folder of checkpoints .* cannot be written to [(]Perm"):
        study()


@pytest.mark.parametrize("number", NO_FLOCK, ids=map(os.strerror, NO_FLOCK))
def test_every_stage_runs_on_a_disk_without_locks(study, monkeypatch, capsys, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    locks._warn.cache_clear()
    results = study()
    said = capsys.readouterr().err
    assert said.count("has no file locks") == 2  # a warning for each folder
    assert "training this run" in said and "packing" in said
    assert running(results) == [] and "checkpoints" in describe(results, [])


def test_every_stage_runs_where_the_system_has_no_affinity(study, monkeypatch):
    """macOS has no os.sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert devices.usable_cores() == 1
    study()


def test_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert devices.usable_cores() == 2
    monkeypatch.setattr(os, "sched_getaffinity", _refuse, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert devices.usable_cores() == 1


def _refuse(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_cannot_be_told_to_write_now(tmp_path, monkeypatch, number):
    def fsync(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"


def test_a_disk_that_fails_is_no_such_disk(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        files.write_text(Path(tmp_path / "a"), "text")
    assert list(tmp_path.iterdir()) == []
