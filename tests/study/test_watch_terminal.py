"""The display on a terminal: redrawn in place, never wider or higher than it, left clean."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support.watch import (
    STUDY,
    default_signals,
    failed,
    reports,
    watch_command,
    write_training,
)

from ssl_ood.study.watch.display import Lines, Picture
from ssl_ood.study.watch.follow import display_for
from ssl_ood.study.watch.terminal import Terminal
from ssl_ood.study.watch.trainings import read_trainings

SGR = re.compile(r"\x1b\[[\d;]*m")


class Screen:
    """As much of a terminal as the display needs: what would be seen after all that was written."""

    def __init__(self, rows: int, columns: int) -> None:
        self.lines, self.row, self.column, self.cursor = [""], 0, 0, True
        self.rows, self.columns = rows, columns

    def write(self, text: str) -> None:
        for escape, plain in re.findall(r"(\x1b\[\??\d*[A-Za-z])|([^\x1b]+)", SGR.sub("", text)):
            if escape:
                self._obey(escape)
            for character in plain:
                self._put(character)

    def _obey(self, escape: str) -> None:
        if escape in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor = escape.endswith("h")
        elif escape == "\x1b[2K":
            self.lines[self.row] = ""
        else:
            assert escape.endswith("A"), f"unknown to this screen: {escape!r}"
            self.row -= int(escape[2:-1])
            assert self.row >= 0

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        else:
            assert self.column < self.columns, "the line is wider than the terminal"
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


def in_terminal(rows: int, columns: int, *arguments: str) -> tuple[Screen, str, int]:
    """Runs a command in a pseudo-terminal: the screen it leaves, what it wrote, its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        arguments, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"},
        preexec_fn=default_signals,
    ) as child:  # fmt: skip
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                written += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
    os.close(ours)
    screen, text = Screen(rows, columns), written.decode()
    screen.write(text)
    return screen, text, child.returncode


def watch_in_terminal(results: Path, command: tuple[str, ...], rows: int = 24, columns: int = 80):
    return in_terminal(rows, columns, *watch_command(results, *command))


TWO_TRAININGS = """
from pathlib import Path
from ssl_ood.common.progress import write_progress
folder = Path({folder!r})
for step in range(8):
    for run in ("a", "b-with-a-long-name"):
        write_progress(folder / f"{{run}}.json", run=run, epoch=step, epochs=8, step=step, steps=8,
                       loss=6.0 / (step + 1), images_per_second=812.0, seconds_left=8.0 - step)
    time.sleep(0.3)
for path in folder.glob("*.json"): path.unlink()
report({then!r})
sys.exit({code})
"""


def two_trainings(results: Path, then: list[dict], code: int) -> tuple[str, ...]:
    folder = str(results / "progress")
    return reports(STUDY, TWO_TRAININGS.format(folder=folder, then=then, code=code))


def test_terminal_redraws_in_place_and_is_left_clean(tmp_path):
    screen, text, code = watch_in_terminal(tmp_path, two_trainings(tmp_path, [], 0))
    assert code == 0
    (line,) = [line for line in screen.lines if line]
    assert re.fullmatch(r"1 of 5 jobs done in 0:\d\d", line)
    assert screen.cursor
    plain = SGR.sub("", text)
    assert plain.count("now: train") > 2  # it was drawn again and again
    assert re.search(r"━━━━╸?━+  20%  1 of 5 jobs, 0:0\d elapsed, about \d:\d\d left", plain)
    assert re.search(
        r"  a                   step \d/8  loss \d.\d\d  812 images/s  0:0\d left", plain
    )


@pytest.mark.parametrize(("rows", "columns"), [(24, 40), (5, 200)])
def test_terminal_that_is_small_is_not_overrun(tmp_path, rows, columns):
    screen, text, _ = watch_in_terminal(tmp_path, two_trainings(tmp_path, [], 0), rows, columns)
    assert all(len(line) < columns for line in screen.lines)
    assert len([line for line in screen.lines if line]) == 1
    assert ("and 1 more training" in text) == (rows == 5)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "  .._low-rot_imgn-base-seed0  step 400/1240  loss 5.13  812 images/s  1:10 left"),
        (120, "  {name}  epoch 3/20  step 400/1240  loss 5.13  812 images/s  1:10 left"),
    ],
)
def test_long_names_are_cut_where_they_are_alike(tmp_path, capsys, monkeypatch, columns, line):
    name = "natural-fashion_low-rot_imgn-base-seed0"
    write_training(tmp_path, name)
    monkeypatch.setenv("COLUMNS", str(columns))
    display = Terminal(sys.stdout)
    display.show(Picture(None, 0.0, None, read_trainings(tmp_path, 0.0, time.time())))
    display.close()
    assert line.format(name=name) in SGR.sub("", capsys.readouterr().out)


def test_terminal_keeps_what_failed_in_view(tmp_path):
    (tmp_path / "a.log").write_text("the reason\n")
    failing = two_trainings(tmp_path, [failed(6, "train", tmp_path / "a.log")], 1)
    screen, _, code = watch_in_terminal(tmp_path, failing, 40, 200)
    assert code == 1 and screen.cursor
    assert screen.lines[0] == "failed: rule train (a)"
    assert "    the reason" in screen.lines
    assert screen.lines[-2].endswith(f"the whole log: {tmp_path / 'snakemake.log'}")


def test_terminal_that_cannot_move_its_cursor_gets_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert isinstance(display_for(sys.stdout), Lines)


def test_lines_that_a_narrower_window_has_broken_are_erased(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    write_training(tmp_path, "a")
    display = Terminal(sys.stdout)
    display.show(Picture(None, 0.0, None, read_trainings(tmp_path, 0.0, time.time())))
    assert display.drawn == [54]  # columns of its one line
    capsys.readouterr()
    display.console.size = (20, 24)  # in which the line takes three rows
    display.say("words")
    before, words, _ = capsys.readouterr().out.partition("words")
    assert words and before.count("\x1b[1A") == 2
    display.close()
