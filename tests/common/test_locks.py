"""File locks: one holder at a time, who is named, and what becomes of them where there are none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest

from ssl_ood.common import locks
from ssl_ood.common.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from ssl_ood.common import locks
with locks.exclusive(Path(sys.argv[1]), "using the oven"):
    print("holding", flush=True)
    sys.stdin.readline()
"""


def holder(path) -> subprocess.Popen[str]:
    """A process that holds the lock until it is given a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "holding\n"
    return process


def test_a_lock_that_another_process_holds_is_refused_with_what_it_does(tmp_path):
    process = holder(tmp_path / "lock")
    with (
        pytest.raises(UserError) as error,
        locks.exclusive(tmp_path / "lock", "using the oven"),
    ):
        raise AssertionError("two at a time")
    process.communicate("\n")
    assert str(error.value) == (
        f"Another process is using the oven already (it holds {tmp_path / 'lock'}): "
        "wait for it or stop it."
    )


def test_who_waits_names_the_holder_and_goes_on_after_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    process = holder(tmp_path / "lock")
    monkeypatch.setattr(
        locks.time, "sleep", lambda _: (process.communicate("\n"), process.stdin.close())
    )
    with locks.exclusive(tmp_path / "lock", "using the oven", locks.FOREVER):
        assert process.poll() == 0
    said = capsys.readouterr().err
    assert said.startswith(f"waiting for the process {process.pid} on ")
    assert said.endswith(", which is using the oven\n") and said.count("waiting") == 1


def test_patience_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    process, begun = holder(tmp_path / "lock"), time.monotonic()
    with pytest.raises(locks.Busy), locks.exclusive(tmp_path / "lock", "baking", 0.1):
        raise AssertionError("two at a time")
    assert 0.1 <= time.monotonic() - begun < 5
    process.communicate("\n")


def test_a_holder_that_is_killed_holds_nothing(tmp_path):
    process = holder(tmp_path / "lock")
    process.kill()
    process.wait()
    with locks.exclusive(tmp_path / "lock", "baking"):
        pass


def test_the_umask_decides_who_else_may_lock(tmp_path):
    before = os.umask(0o002)
    try:
        with locks.exclusive(tmp_path / "shared" / "lock", "baking"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "shared" / "lock").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("inheritable", [False, True])
def test_programs_that_are_started_hold_the_lock_only_where_asked(tmp_path, inheritable):
    path = tmp_path / "lock"
    with locks.exclusive(path, "baking", inheritable=inheritable):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with locks.exclusive(path, "baking"):
            assert not inheritable
    except locks.Busy:
        assert inheritable
    child.kill()
    child.wait()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_one_warning(tmp_path, monkeypatch, capsys, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    for name in ("lock", "lock", "other lock"):
        with locks.exclusive(tmp_path / name, "baking"):
            pass
    assert capsys.readouterr().err == (
        f"WARNING: the disk of {tmp_path} has no file locks ({os.strerror(number)}): make sure "
        "that no other process is baking\n"
    )


def test_another_error_of_the_disk_is_raised(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output"), locks.exclusive(tmp_path / "lock", "baking"):
        raise AssertionError("not locked")
