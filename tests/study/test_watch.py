"""The progress display: what it makes of a Snakemake's words, on a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from ssl_ood.common.errors import UserError
from ssl_ood.study import watch
from ssl_ood.study.jobs import Jobs, failure_report, seconds_left

# What a Snakemake 9 printed, shortened.
PRINTED = """\
Building DAG of jobs...
Provided cores: 2
Job stats:
job      count
-----  -------
all          1
score        2
train        2
total        5

Select jobs to execute...
Execute 2 jobs...

[Mon Nov 23 19:02:57 2026]
localrule train:
    output: runs/a
    log: logs/a.log
    jobid: 6
    reason: Missing output files: runs/a
    wildcards: run=a
[Mon Nov 23 19:02:57 2026]
rule train:
    output: runs/b
    log: logs/b.log
    jobid: 3
    wildcards: run=b
[Mon Nov 23 19:02:58 2026]
Finished jobid: 3 (Rule: train)
1 of 5 steps (20%) done
"""
FAILED = """\
loose words of the job
[Mon Nov 23 19:02:59 2026]
Error in rule train:
    message: None
    jobid: 6
    log: {log} (check log file(s) for error details)
    shell:
        python -m ssl_ood train
        (command exited with non-zero exit code)
Shutting down, this might take some time.
WorkflowError:
At least one job did not complete successfully.
"""


def read(text: str, jobs: Jobs | None = None, now: float = 0.0) -> tuple[Jobs, list[str]]:
    jobs = jobs or Jobs()
    notes = [jobs.read(line, now) for line in text.splitlines()]
    return jobs, [note for note in notes if note]


def run_watch(results: Path, *command: str, **options) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(results)]
    return subprocess.run(
        [*arguments, *(["--", *command] if command else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        **options,
    )


def python(program: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", program)


def says(text: str, then: str = "") -> tuple[str, str, str]:
    return python(f"import os, signal, sys, time\nprint({text!r}, flush=True)\n{then}")


def tell(folder: Path, run: str, **fields) -> Path:
    """A progress file as of now, changed by `fields`."""
    path = folder / f"{run}.json"
    shown = {"run": run, "step": 400, "steps": 1240, "epoch": 3, "epochs": 20, "loss": 5.13}
    watch.write_progress(path, **shown, images_per_second=812.4, eta_seconds=70.0)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def process_that_is_gone() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


# ---- progress files


def test_progress_is_strict_json_and_leaves_no_partial_file(tmp_path):
    path = tmp_path / "progress" / "a.json"
    watch.write_progress(path, run="a", step=1, loss=float("nan"))
    told = json.loads(path.read_text())
    assert (told["run"], told["step"], told["loss"]) == ("a", 1, None)
    assert told["pid"] == os.getpid() and told["host"] == socket.gethostname()
    assert abs(told["updated"] - time.time()) < 10
    assert list(path.parent.iterdir()) == [path]


def test_progress_that_cannot_be_written_does_not_stop_a_training(tmp_path):
    (tmp_path / "file").write_text("")
    watch.write_progress(tmp_path / "file" / "a.json", run="a")


def test_import_is_light():
    program = "import sys, ssl_ood.study.watch; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert not loaded & {"torch", "numpy", "pandas", "snakemake"}


def test_running_training_is_described_in_one_line(tmp_path):
    tell(tmp_path, "a")
    (training,) = watch.read_trainings(tmp_path, time.time(), time.time())
    assert watch.describe_training(training) == (
        "epoch 3/20  step 400/1240  loss 5.13  812 images/s  1:10 left"
    )


def test_silent_training_is_marked_and_its_file_kept(tmp_path):
    path = tell(tmp_path, "a", host="elsewhere", updated=time.time() - 190)
    (training,) = watch.read_trainings(tmp_path, time.time(), time.time())
    assert watch.describe_training(training).endswith("stalled? silent for 3:10")
    assert path.exists()


def test_training_that_died_under_our_eyes_is_marked_and_an_older_one_passed_over(tmp_path):
    tell(tmp_path, "a", pid=process_that_is_gone())
    assert watch.read_trainings(tmp_path, 0.0, time.time())[0]["state"] == "stopped"
    assert watch.read_trainings(tmp_path, time.time() + 1, time.time()) == []


def test_file_of_a_finished_training_is_removed(tmp_path):
    path = tell(tmp_path, "a", pid=process_that_is_gone(), step=1240)
    still_saving = tell(tmp_path, "b", step=1240)
    assert [t["run"] for t in watch.read_trainings(tmp_path, 0.0, time.time())] == ["b"]
    assert not path.exists() and still_saving.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"updated": "now"}'])
def test_file_that_is_none_of_ours_is_passed_over(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert watch.read_trainings(tmp_path, 0.0, time.time()) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (7.4, "0:07"), (754, "12:34"), (3723, "1:02:03"), (183600, "2 d 03 h")],
)
def test_clock(seconds, text):
    assert watch.clock(seconds) == text


# ---- what Snakemake prints


def test_jobs_are_counted_planned_and_running():
    jobs, notes = read(PRINTED)
    assert (jobs.done, jobs.total, notes) == (1, 5, [])
    assert jobs.planned == {"all": 1, "score": 2, "train": 2}
    assert {key: (job.rule, job.about) for key, job in jobs.running.items()} == {
        "6": ("train", "a")
    }
    assert not jobs.other


def test_failure_is_told_at_once_and_reported_with_the_end_of_its_log(tmp_path):
    (tmp_path / "a.log").write_text("early\n" * 50 + "ValueError: the reason\n")
    jobs, notes = read(PRINTED + FAILED.format(log="a.log"))
    assert notes == ["failed: rule train (a)"]
    report = failure_report(jobs, tmp_path, lines=3)
    assert report.count("Error in rule train:") == 1
    assert "python -m ssl_ood train" in report
    assert report.count("early") == 2 and "ValueError: the reason" in report
    assert report.endswith("loose words of the job")


def test_log_that_snakemake_shows_is_not_reported_twice(tmp_path):
    (tmp_path / "a.log").write_text("Error in rule nix:\nthe reason\n")
    shown = f"Logfile a.log:\n{'=' * 18}\nError in rule nix:\nthe reason\n{'=' * 18}\nafter it\n"
    jobs, notes = read(PRINTED + FAILED.format(log="a.log") + shown)
    report = failure_report(jobs, tmp_path)
    assert report.count("the reason") == 1 and report.endswith("after it")
    assert notes == ["failed: rule train (a)"]


def test_failure_that_a_retry_mended_is_not_reported():
    again = "Trying to restart job 6.\nFinished jobid: 6 (Rule: train)\n5 of 5 steps (100%) done"
    jobs, notes = read(PRINTED + FAILED.format(log="a.log") + again)
    assert len(notes) == 2 and not jobs.failed and jobs.done == 5


def test_report_names_every_job_of_a_rule_that_failed_twice(tmp_path):
    second = FAILED.replace("jobid: 6", "jobid: 9").replace("{log}", "b.log")
    jobs, _ = read(PRINTED + FAILED.format(log="a.log") + second)
    report = failure_report(jobs, tmp_path)
    assert "The end of a.log" in report and "The end of b.log" in report
    assert "cannot be read" in report


def test_time_left_is_unknown_until_a_training_told_something():
    jobs, _ = read(PRINTED.split("[Mon Nov 23 19:02:58")[0])
    assert seconds_left(jobs, [], 0.0, 10.0) is None


def test_time_left_from_running_trainings_and_mean_times():
    # Two trainings run since 0 and expect 30 s and 20 s more; two of 40 s wait behind them; of
    # three scores one is done (4 s): 30 + 20 + 2 x (10 + 30) + 2 x 4 s. So far (4 + 10 + 10) / 10
    # jobs ran at a time.
    jobs = Jobs(total=7)
    jobs.planned.update({"train": 4, "score": 3})
    read("rule train:\n    jobid: 1\nrule train:\n    jobid: 2\nrule score:\n    jobid: 3\n", jobs)
    read("Finished jobid: 3 (Rule: score)", jobs, now=4.0)
    assert seconds_left(jobs, [30.0, 20.0], 0.0, 10.0) == pytest.approx(138 / 2.4)


def test_time_left_is_never_less_than_a_running_training_expects():
    jobs = Jobs(total=1)
    jobs.planned["train"] = 1
    read("rule train:\n    jobid: 1\n", jobs)
    assert seconds_left(jobs, [50.0], 0.0, 10.0) == pytest.approx(50.0)


# ---- in a pipe


def test_pipe_gets_plain_lines_and_the_log_everything(tmp_path):
    done = "Finished jobid: 6 (Rule: train)\n5 of 5 steps (100%) done"
    result = run_watch(tmp_path / "new", *says(PRINTED + done))
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].startswith("5 of 5 jobs done in 0:")
    assert "\x1b" not in result.stdout and "jobid" not in result.stdout
    assert (tmp_path / "new" / "snakemake.log").read_text() == PRINTED + done + "\n"


def test_pipe_line_shows_jobs_and_trainings(tmp_path):
    program = (
        "import time\nfrom pathlib import Path\nfrom ssl_ood.study.watch import write_progress\n"
        f"write_progress(Path({str(tmp_path)!r}) / 'progress/a.json', run='a', epoch=1, epochs=9,"
        f" eta_seconds=70.0)\nprint({PRINTED!r}, flush=True)\ntime.sleep(1)"
    )
    result = run_watch(tmp_path, *python(program))
    pattern = r"1 of 5 jobs, 0:\d\d elapsed, about \d:\d\d left; a: epoch 1/9, 1:10 left"
    assert re.fullmatch(pattern, result.stdout.splitlines()[0])


def test_pipe_is_spoken_to_rarely(capsys, monkeypatch):
    seconds = iter(range(200))
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    lines = watch.Lines(sys.stdout)
    for now in seconds:
        lines.show(Jobs(done=min(now, 30), total=99), float(now), None, [])
    printed = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    # Every 10 s while jobs end, then every 60 s.
    assert printed == [f"{n} of 99 jobs" for n in (0, 10, 20, 30, 30, 30)]


def test_exit_code_and_error_of_the_command_come_through(tmp_path):
    (tmp_path / "a.log").write_text("the reason\n")
    text = PRINTED + FAILED.format(log=tmp_path / "a.log")
    result = run_watch(tmp_path, *says(text, "sys.exit(3)"))
    assert result.returncode == 3
    assert "failed: rule train (a)" in result.stdout
    assert "    the reason" in result.stdout
    assert result.stdout.rstrip().endswith(f"the whole log: {tmp_path / 'snakemake.log'}")


def test_traceback_of_a_command_that_is_no_snakemake_is_shown(tmp_path):
    result = run_watch(tmp_path, *python("def f(): raise KeyError('lost')\nf()"))
    assert result.returncode == 1
    assert "Traceback" in result.stdout and "KeyError: 'lost'" in result.stdout


def test_words_without_a_line_end_are_not_lost(tmp_path):
    result = run_watch(tmp_path, *python("import sys; sys.stderr.write('cut off'); sys.exit(1)"))
    assert "cut off" in result.stdout


def test_command_killed_by_a_signal_gives_the_shells_exit_code(tmp_path):
    result = run_watch(tmp_path, *says("", "os.kill(os.getpid(), signal.SIGKILL)"))
    assert result.returncode == 128 + signal.SIGKILL


def test_command_that_does_not_exist_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"The command nix/da cannot be run: No such file"):
        watch.follow(["nix/da"], tmp_path, sys.stdout)


def test_what_a_command_leaves_behind_is_not_waited_for(tmp_path):
    begun = time.monotonic()
    left = "import subprocess; subprocess.Popen(['sleep', '30'])"
    assert run_watch(tmp_path, *says("", left)).returncode == 0
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_reaches_the_command_once(tmp_path, number):
    listen = (
        "got = []\nfor n in (1, 2, 15): signal.signal(n, lambda n, _: got.append(n))\n"
        "print('ready', flush=True)\n"
        "while not got: time.sleep(0.02)\n"
        "time.sleep(0.3)\nsys.exit(40 + len(got))"
    )
    with _started_watch(tmp_path, *says("", listen)) as child:
        child.send_signal(number)
        assert child.wait(30) == 41


def test_jobs_that_end_because_they_were_told_to_are_no_failures(tmp_path):
    listen = (
        f"def stop(*_):\n    print({FAILED!r}, flush=True)\n    sys.exit(1)\n"
        "signal.signal(15, stop)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    with _started_watch(tmp_path, *says(PRINTED, listen)) as child:
        child.send_signal(signal.SIGTERM)
        words = child.communicate(timeout=30)[0].decode().splitlines()
    assert child.returncode == 1
    assert words[-2] == "stopping: the running jobs are told to end"
    assert words[-1].startswith("stopped after 0:0") and "1 of 5 jobs done" in words[-1]
    assert "Error in rule train" in (tmp_path / "snakemake.log").read_text()


def test_command_that_does_not_listen_is_killed_at_the_third_signal(tmp_path):
    deaf = "signal.signal(2, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
    with _started_watch(tmp_path, *says("", deaf)) as child:
        for _ in range(3):
            time.sleep(0.2)
            assert child.poll() is None
            child.send_signal(signal.SIGINT)
        assert child.wait(30) == 128 + signal.SIGKILL


def _started_watch(results: Path, *command: str) -> subprocess.Popen[bytes]:
    """A watch whose command has said that it is ready."""
    arguments = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(results), "--"]
    child = subprocess.Popen([*arguments, *command], stdout=subprocess.PIPE)
    log, patience = results / "snakemake.log", time.monotonic() + 30
    while not (log.exists() and "ready" in log.read_text()):
        assert time.monotonic() < patience and child.poll() is None
        time.sleep(0.02)
    return child


def test_snakemake_itself_is_understood(tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    input: 'a1', 'a2'\n"
        "rule a:\n    output: 'a{i}'\n    log: 'a{i}.log'\n"
        "    shell: 'echo reason {wildcards.i} > {log}; [ {wildcards.i} = 1 ] && touch {output}'\n"
    )
    snakemake = (sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going")
    failing = run_watch(tmp_path / "r", *snakemake, cwd=tmp_path)
    assert failing.returncode == 1
    assert "failed: rule a (2)" in failing.stdout and "    reason 2" in failing.stdout
    assert "with 1 of 3 jobs done" in failing.stdout
    assert "Building DAG" not in failing.stdout and "Config MD5" not in failing.stdout
    fine = run_watch(tmp_path / "r", *snakemake, "a1", cwd=tmp_path)
    assert (fine.returncode, fine.stdout) == (0, "nothing to do: everything is up to date\n")


# ---- on a terminal


class Screen:
    """As much of a terminal as the display needs: what would be seen after all that was written."""

    def __init__(self, rows: int, columns: int) -> None:
        self.lines, self.row, self.column, self.cursor = [""], 0, 0, True
        self.rows, self.columns = rows, columns

    def write(self, text: str) -> None:
        for escape, plain in re.findall(r"(\x1b\[\??\d*[A-Za-z])|([^\x1b]+)", text):
            if escape:
                self._obey(escape)
            for character in plain:
                self._put(character)

    def _obey(self, escape: str) -> None:
        if escape in ("\x1b[?25l", "\x1b[?25h"):
            self.cursor = escape.endswith("h")
        elif escape == "\x1b[K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif escape == "\x1b[J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
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
        arguments, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"}
    ) as child:
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


def watch_in_terminal(results: Path, program: str, rows: int = 24, columns: int = 80):
    command = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(results), "--"]
    return in_terminal(rows, columns, *command, *python(program))


TWO_TRAININGS = """
import sys, time
from pathlib import Path
from ssl_ood.study.watch import write_progress
folder = Path({folder!r})
print({printed!r}, flush=True)
for step in range(8):
    for run in ("a", "b-with-a-long-name"):
        write_progress(folder / f"{{run}}.json", run=run, epoch=step, epochs=8, step=step, steps=8,
                       loss=6.0 / (step + 1), images_per_second=812.0, eta_seconds=8.0 - step)
    time.sleep(0.2)
for path in folder.glob("*.json"): path.unlink()
print({then!r}, flush=True)
sys.exit({code})
"""


def two_trainings(results: Path, then: str, code: int) -> str:
    folder = str(results / "progress")
    return TWO_TRAININGS.format(folder=folder, printed=PRINTED, then=then, code=code)


def test_terminal_redraws_in_place_and_is_left_clean(tmp_path):
    screen, text, code = watch_in_terminal(tmp_path, two_trainings(tmp_path, "", 0))
    assert code == 0
    assert [line for line in screen.lines if line] == ["1 of 5 jobs done in 0:02"] or (
        re.fullmatch(r"1 of 5 jobs done in 0:\d\d", screen.lines[0])
    )
    assert screen.cursor
    assert text.count("now: train") > 2  # it was drawn again and again
    assert re.search(r"\[####\.+\]  20%  1 of 5 jobs, 0:0\d elapsed, about \d:\d\d left", text)
    assert re.search(
        r"  a                   step \d/8  loss \d.\d\d  812 images/s  0:0\d left", text
    )


@pytest.mark.parametrize(("rows", "columns"), [(24, 40), (5, 200)])
def test_terminal_that_is_small_is_not_overrun(tmp_path, rows, columns):
    screen, text, _ = watch_in_terminal(tmp_path, two_trainings(tmp_path, "", 0), rows, columns)
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
    tell(tmp_path, name)
    monkeypatch.setenv("COLUMNS", str(columns))
    display = watch.Terminal(sys.stdout)
    display.show(None, 0.0, None, watch.read_trainings(tmp_path, 0.0, time.time()))
    assert line.format(name=name) in capsys.readouterr().out


def test_terminal_keeps_what_failed_in_view(tmp_path):
    (tmp_path / "a.log").write_text("the reason\n")
    failing = two_trainings(tmp_path, FAILED.format(log=tmp_path / "a.log"), 1)
    screen, _, code = watch_in_terminal(tmp_path, failing, 40, 200)
    assert code == 1 and screen.cursor
    assert screen.lines[0] == "failed: rule train (a)"
    assert "    the reason" in screen.lines
    assert screen.lines[-2].endswith(f"the whole log: {tmp_path / 'snakemake.log'}")


def test_terminal_that_cannot_move_its_cursor_gets_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert isinstance(watch._display(sys.stdout), watch.Lines)


# ---- without a command


def test_watching_ends_when_no_training_is_left(tmp_path):
    assert run_watch(tmp_path).stdout == f"no training runs in {tmp_path}\n"
    tell(tmp_path / "progress", "a", pid=process_that_is_gone())
    assert run_watch(tmp_path).stdout == f"no training runs in {tmp_path}; stopped: a\n"


def test_once_prints_one_line_and_ends(tmp_path, capsys):
    tell(tmp_path / "progress", "a")
    assert watch.watch(tmp_path, True, sys.stdout) == 0
    assert capsys.readouterr().out == (
        "a: epoch 3/20, step 400/1240, loss 5.13, 812 images/s, 1:10 left\n"
    )


def test_ctrl_c_ends_watching(tmp_path):
    tell(tmp_path / "progress", "a")
    arguments = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout and b"epoch 3/20" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
