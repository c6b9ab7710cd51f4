"""`ssl_ood watch`: a command in a pipe, signals to it, trainings without a command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from support.watch import (
    STUDY,
    default_signals,
    failed,
    finished,
    process_that_is_gone,
    progress,
    python,
    read,
    reports,
    run_watch,
    started_watch,
    watch_command,
    write_training,
)

from ssl_ood.common.errors import UserError
from ssl_ood.study.watch import display
from ssl_ood.study.watch.display import Lines, Picture
from ssl_ood.study.watch.follow import follow, follow_trainings
from ssl_ood.study.watch.pipe import LOGGER, with_logger
from ssl_ood.study.watch.trainings import describe_training, read_trainings


def test_import_is_light():
    program = "import sys, ssl_ood.study.watch.command; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert not loaded & {"torch", "numpy", "pandas", "snakemake", "rich", "yaml", "pydantic"}


# ---- progress files


def test_running_training_is_described_in_one_line(tmp_path):
    write_training(tmp_path, "a")
    (training,) = read_trainings(tmp_path, time.time(), time.time())
    assert describe_training(training) == (
        "epoch 3/20  step 400/1240  loss 5.13  812 images/s  1:10 left"
    )


def test_a_training_that_goes_wrong_says_so_and_shows_its_curve(tmp_path):
    write_training(
        tmp_path, "a", warning="the teacher's outputs are uniform",
        curve={"name": "entropy", "values": [0.0, 0.5, 0.99, 1.0, 1.2]},
        probe={"kind": "probe", "step": 0, "epoch": 0.0, "knn_accuracy": 0.341, "sensitivity": 0.5},
    )  # fmt: skip
    (training,) = read_trainings(tmp_path, time.time(), time.time())
    assert describe_training(training) == (
        "epoch 3/20  step 400/1240  loss 5.13  entropy ▁▅███  10-NN 34.1%  sensitivity 0.500  "
        "812 images/s  1:10 left  WARNING: the teacher's outputs are uniform"
    )
    assert "▁" not in describe_training(training, short=True)


def test_silent_training_is_marked_and_its_file_kept(tmp_path):
    path = write_training(tmp_path, "a", host="elsewhere", updated=time.time() - 190)
    (training,) = read_trainings(tmp_path, time.time(), time.time())
    assert describe_training(training).endswith("stalled? silent for 3:10")
    assert path.exists()


def test_training_that_died_under_our_eyes_is_marked_and_an_older_one_passed_over(tmp_path):
    write_training(tmp_path, "a", pid=process_that_is_gone())
    assert read_trainings(tmp_path, 0.0, time.time())[0]["state"] == "stopped"
    assert read_trainings(tmp_path, time.time() + 1, time.time()) == []


def test_file_of_a_finished_training_is_removed(tmp_path):
    path = write_training(tmp_path, "a", pid=process_that_is_gone(), step=1240)
    still_saving = write_training(tmp_path, "b", step=1240)
    assert [t["run"] for t in read_trainings(tmp_path, 0.0, time.time())] == ["b"]
    assert not path.exists() and still_saving.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"updated": "now"}'])
def test_file_that_is_none_of_ours_is_passed_over(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert read_trainings(tmp_path, 0.0, time.time()) == []


# ---- in a pipe


def test_pipe_gets_plain_lines_and_the_log_everything(tmp_path):
    done = [finished(6, 2.0), progress(5, 5)]
    result = run_watch(tmp_path / "new", *reports(STUDY + done, "print('words')"))
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].startswith("5 of 5 jobs done in 0:")
    assert "\x1b" not in result.stdout and "words" not in result.stdout
    assert (tmp_path / "new" / "snakemake.log").read_text() == "words\n"


def test_pipe_line_shows_jobs_and_trainings(tmp_path):
    events = [{**event, "time": time.time()} for event in STUDY]
    program = (
        "from pathlib import Path\nfrom ssl_ood.common.progress import write_progress\n"
        f"write_progress(Path({str(tmp_path)!r}) / 'progress/a.json', run='a', epoch=1, epochs=9,"
        f" seconds_left=70.0)\nreport({events!r})\ntime.sleep(1)"
    )
    result = run_watch(tmp_path, *reports([], program))
    pattern = r"1 of 5 jobs, 0:\d\d elapsed, about \d:\d\d left; a: epoch 1/9, 1:10 left"
    assert re.fullmatch(pattern, result.stdout.splitlines()[0])


def test_pipe_is_spoken_to_rarely(capsys, monkeypatch):
    seconds = iter(range(200))
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    lines = Lines(sys.stdout)
    for now in seconds:
        lines.show(Picture(read([progress(min(now, 30), 99)])[0], float(now), None, []))
    printed = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    # Every 10 s while jobs end, then every 60 s.
    assert printed == [f"{n} of 99 jobs" for n in (0, 10, 20, 30, 30, 30)]


def test_exit_code_and_error_of_the_command_come_through(tmp_path):
    (tmp_path / "a.log").write_text("the reason\n")
    events = [*STUDY, failed(6, "train", tmp_path / "a.log")]
    result = run_watch(tmp_path, *reports(events, "sys.exit(3)"))
    assert result.returncode == 3
    assert result.stdout.count("failed: rule train (a)") == 1
    assert result.stdout.count("    the reason") == 1
    assert result.stdout.rstrip().endswith(f"the whole log: {tmp_path / 'snakemake.log'}")


def test_traceback_of_a_command_that_is_no_snakemake_is_shown(tmp_path):
    result = run_watch(tmp_path, *python("def f(): raise KeyError('lost')\nf()"))
    assert result.returncode == 1
    assert "Traceback" in result.stdout and "KeyError: 'lost'" in result.stdout


def test_words_without_a_line_end_are_not_lost(tmp_path):
    result = run_watch(tmp_path, *python("import sys; sys.stderr.write('cut off'); sys.exit(1)"))
    assert "cut off" in result.stdout


def test_more_events_and_words_than_a_pipe_holds_are_read_to_their_end(tmp_path):
    many = "report([event] * 3000)\nprint('word ' * 100_000)\n"
    last = f"report({[progress(5, 5)]!r})"
    result = run_watch(tmp_path, *reports(STUDY, f"event = {STUDY[1]!r}\n{many}{last}"))
    assert result.stdout.splitlines()[-1].startswith("5 of 5 jobs done")
    assert (tmp_path / "snakemake.log").stat().st_size == 500_001


def test_command_killed_by_a_signal_gives_the_shells_exit_code(tmp_path):
    result = run_watch(tmp_path, *reports([], "os.kill(os.getpid(), signal.SIGKILL)"))
    assert result.returncode == 128 + signal.SIGKILL


def test_command_that_does_not_exist_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"The command nix/da cannot be run: No such file"):
        follow(["nix/da"], tmp_path, sys.stdout)


def test_results_that_cannot_be_written_are_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"snakemake.log cannot be written: "):
        follow(["true"], tmp_path / "file", sys.stdout)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_costs_the_log_and_not_the_command(tmp_path):
    (tmp_path / "snakemake.log").symlink_to("/dev/full")
    result = run_watch(tmp_path, *reports(STUDY, "print('words', flush=True)\nsys.exit(3)"))
    assert result.returncode == 3
    assert result.stdout.count("snakemake.log is not complete: No space left on device") == 1
    assert "    words" in result.stdout  # the end is remembered


def test_what_a_command_leaves_behind_is_not_waited_for(tmp_path):
    begun = time.monotonic()
    left = "import subprocess; subprocess.Popen(['sleep', '30'])"
    assert run_watch(tmp_path, *reports([], left)).returncode == 0
    assert time.monotonic() - begun < 15


def test_no_temporary_file_is_left(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    assert run_watch(tmp_path / "r", *reports(STUDY), env=environment).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_reaches_the_command_once(tmp_path, number):
    listen = (
        "got = []\nfor n in (1, 2, 15): signal.signal(n, lambda n, _: got.append(n))\n"
        "print('ready', flush=True)\n"
        "while not got: time.sleep(0.02)\n"
        "time.sleep(0.3)\nsys.exit(40 + len(got))"
    )
    with started_watch(tmp_path, *reports([], listen)) as child:
        child.send_signal(number)
        assert child.wait(30) == 41


def test_jobs_that_end_because_they_were_told_to_are_no_failures(tmp_path):
    listen = (
        f"def stop(*_):\n    report({[failed(6, 'train', 'a.log')]!r})\n    sys.exit(1)\n"
        "signal.signal(15, stop)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    with started_watch(tmp_path, *reports(STUDY, listen)) as child:
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        words = child.communicate(timeout=30)[0].decode().splitlines()
    assert child.returncode == 1
    assert words[-2] == "stopping: asked the running jobs to end"
    assert words[-1].startswith("stopped after 0:0") and "1 of 5 jobs done" in words[-1]
    assert not any("failed" in line for line in words)


def test_command_that_does_not_listen_is_killed_at_the_third_signal(tmp_path):
    deaf = "signal.signal(2, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
    with started_watch(tmp_path, *reports([], deaf)) as child:
        for _ in range(3):
            time.sleep(0.2)
            assert child.poll() is None
            child.send_signal(signal.SIGINT)
        assert child.wait(30) == 128 + signal.SIGKILL


def test_signals_that_were_ignored_stay_so(tmp_path):
    """As nohup wants it: the terminal's end is not the study's."""
    listen = "print('ready', flush=True)\ntime.sleep(1.5)\nsys.exit(7)"
    arguments = ["nohup", *watch_command(tmp_path, *reports([], listen))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        log = tmp_path / "snakemake.log"
        while not (log.exists() and log.read_text()):
            time.sleep(0.02)
        child.send_signal(signal.SIGHUP)
        assert child.wait(30) == 7


def test_reader_that_goes_ends_the_watch_and_its_command_quietly(tmp_path):
    # It says that it is ready first: what it reports later is what nobody reads.
    later = [failed(number, "train") for number in range(1, 40)]
    program = f"print('ready', flush=True)\ntime.sleep(3)\nreport({later!r})\nsignal.pause()"
    command = reports([failed(0, "train")], program)
    with started_watch(tmp_path, *command, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"failed: rule train\n"
        child.stdout.close()
        assert child.wait(30) == 128 + signal.SIGPIPE
        assert child.stderr.read() == b""


# ---- the logger of a Snakemake


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["bin/snakemake", "all"], ["bin/snakemake", LOGGER, "all"]),
        (
            ["python3.12", "-m", "snakemake", "all"],
            ["python3.12", "-m", "snakemake", LOGGER, "all"],
        ),
        (["snakemake", "--logger", "a", "b"], ["snakemake", "--logger", "a", "b"]),
        (["snakemake", "--logger=a"], ["snakemake", "--logger=a"]),
        (["make", "demo"], ["make", "demo"]),
        (["python", "-c", "snakemake"], ["python", "-c", "snakemake"]),
    ],
)
def test_a_snakemake_without_a_logger_is_given_ours(command, expected):
    assert with_logger(command) == expected


# ---- without a command


def test_watching_ends_when_no_training_is_left(tmp_path):
    assert run_watch(tmp_path).stdout == f"no training runs in {tmp_path}\n"
    write_training(tmp_path / "progress", "a", pid=process_that_is_gone())
    assert run_watch(tmp_path).stdout == f"no training runs in {tmp_path}; stopped: a\n"


def test_once_prints_one_line_and_ends(tmp_path, capsys):
    write_training(tmp_path / "progress", "a")
    assert follow_trainings(tmp_path, True, sys.stdout) == 0
    assert capsys.readouterr().out == (
        "a: epoch 3/20, step 400/1240, loss 5.13, 812 images/s, 1:10 left\n"
    )


def test_ctrl_c_ends_watching(tmp_path):
    write_training(tmp_path / "progress", "a")
    with subprocess.Popen(
        watch_command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    ) as child:  # fmt: skip
        assert child.stdout and b"epoch 3/20" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
        assert child.stderr.read() == b""
