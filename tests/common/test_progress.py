"""Progress of loops and trainings: lines, files, and times as people read them."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from ssl_ood.common import progress


def test_progress_is_strict_json_and_leaves_no_partial_file(tmp_path):
    path = tmp_path / "progress" / "a.json"
    progress.write_progress(path, run="a", step=1, loss=float("nan"))
    written = json.loads(path.read_text())
    assert (written["run"], written["step"], written["loss"]) == ("a", 1, None)
    assert written["pid"] == os.getpid() and written["host"] == socket.gethostname()
    assert abs(written["updated"] - time.time()) < 10
    assert list(path.parent.iterdir()) == [path]


def test_progress_that_cannot_be_written_does_not_stop_a_training(tmp_path):
    (tmp_path / "file").write_text("")
    progress.write_progress(tmp_path / "file" / "a.json", run="a")
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (7.4, "0:07"), (754, "12:34"), (3723, "1:02:03"), (183600, "2 d 03 h")],
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_a_loop_says_how_much_is_left(monkeypatch):
    moments = iter([100.0, 110.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moments))
    loop = progress.Progress("cifar10", 100 << 20, "B", initial=20 << 20)
    loop.done += 40 << 20  # in ten seconds; 40 MiB more take as long
    assert loop.line() == "cifar10: 60.0 of 100.0 MiB, 4.0 MiB/s, 0:10 left"
