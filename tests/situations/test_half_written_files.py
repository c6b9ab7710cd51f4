"""What a killed job left half written is removed by the next one that writes there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from support.situations import environment

from ssl_ood.common.files import FORGOTTEN_SECONDS, _host, atomic_path, write_json
from ssl_ood.common.progress import write_progress

KILLED = """
import os, signal
from pathlib import Path
from ssl_ood.common.files import atomic_path
with atomic_path(Path("model.safetensors")) as partial:
    partial.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(folder) -> str:
    """The name of the file that it leaves."""
    command = [sys.executable, "-c", KILLED]
    killed = subprocess.run(command, cwd=folder, env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = (path.name for path in folder.iterdir())
    return left


def test_it_is_named_by_host_and_process_and_swept(tmp_path):
    left = kill_a_writer(tmp_path)
    assert socket.gethostname().split(".")[0] in left
    assert left.startswith(".model.safetensors.") and left.endswith(".partial")
    write_json(tmp_path / "train.json", {})  # another file of the same folder
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]


def test_what_is_being_written_stays(tmp_path):
    with atomic_path(tmp_path / "one") as partial:
        partial.write_text("1")
        write_json(tmp_path / "two", {})
        assert partial.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_what_another_host_writes_stays_for_a_day(tmp_path):
    fresh, old, nameless = (
        tmp_path / f".{name}.partial" for name in ("a.elsewhere.1", "b.elsewhere.1", "c.123")
    )
    for path in (fresh, old, nameless):
        path.write_text("half")
    before = time.time() - FORGOTTEN_SECONDS - 60
    for path in (old, nameless):
        os.utime(path, (before, before))
    write_json(tmp_path / "d", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "d"]


def test_a_set_that_is_packed_in_pieces_and_other_files_stay(tmp_path):
    (tmp_path / ".train-32px.partial").mkdir()
    kept = [f".x.{_host()}.999999999.part", f"x.{_host()}.999999999.partial"]
    for name in kept:
        (tmp_path / name).write_text("kept")
    write_json(tmp_path / "d", {})
    assert {path.name for path in tmp_path.iterdir()} == {".train-32px.partial", "d", *kept}


def test_the_progress_of_a_killed_training_is_swept(tmp_path):
    kill_a_writer(tmp_path)
    write_progress(tmp_path / "run.json", step=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_may_not_be_swept_can_be_written_to(tmp_path, monkeypatch):
    """Another person's file in a folder of a group, say."""
    left = kill_a_writer(tmp_path)
    remove = Path.unlink

    def not_the_other_s(self, missing_ok=False):
        if self.name == left:
            raise PermissionError(1, "Operation not permitted", str(self))
        remove(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", not_the_other_s)
    write_json(tmp_path / "d", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [left, "d"]
