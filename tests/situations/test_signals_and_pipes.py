"""Ctrl-C, readers that are gone, and trainings that outlive the Snakemake that started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.situations import DEMO, ROOT, Toy, encoded, environment, noise, ssl_ood, zipped
from support.watch import default_signals

from ssl_ood.common.locks import exclusive
from ssl_ood.common.progress import write_progress
from ssl_ood.study.left_behind import describe_left, left_trainings

RUN = "natural-fashion_low-none-base-seed0"
HOLD = """
import sys
from pathlib import Path
from ssl_ood.common import locks
with locks.exclusive(Path(sys.argv[1]), "training this run"):
    print("holding", flush=True)
    sys.stdin.readline()
"""


def started(command, folder, **options) -> subprocess.Popen[str]:
    """A program with the default signals, in a process group of its own."""
    return subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, preexec_fn=default_signals, **options,
    )  # fmt: skip


# ---- pipes


@pytest.mark.parametrize("stage", [["list"], ["datasets"]])
def test_a_reader_that_is_gone_is_no_error(stage):
    with started([sys.executable, "-m", "ssl_ood", *stage], ROOT) as child:
        child.stdout.close()
        assert child.wait(60) == 128 + signal.SIGPIPE
        assert child.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_for_what_is_printed_is_a_sentence():
    command = [sys.executable, "-m", "ssl_ood", "list", "shift"]
    env = environment({"PYTHONUNBUFFERED": None})
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("ssl_ood list: Standard output cannot be written (No space left")


def test_watching_into_a_pipe_that_is_closed(tmp_path):
    write_progress(
        tmp_path / "progress" / "a.json", run="a", step=1, steps=9, epoch=0, epochs=1, loss=1.0
    )
    command = [sys.executable, "-m", "ssl_ood", "watch", "--results", str(tmp_path), "--once"]
    with started(command, ROOT) as child:
        child.stdout.close()
        assert child.wait(60) == 128 + signal.SIGPIPE
        assert child.stderr.read() == ""


# ---- Ctrl-C


def test_ctrl_c_while_packing_is_one_line(tmp_path, rng):
    """Its workers, which the terminal tells as well, say nothing."""
    toy, image = Toy(tmp_path), encoded(noise(rng, 256))
    zipped(toy.archives / "toy.zip", {f"a/{i:04}.png": image for i in range(2000)})
    catalogue, manifest = toy.catalogue(), tmp_path / "manifest.json"
    fetched = ssl_ood(
        "fetch", "toy", "--catalogue", catalogue, "--downloads", tmp_path / "downloads",
        "--archive-dirs", toy.archives, "--manifest", manifest, folder=tmp_path,
    )  # fmt: skip
    assert fetched.code == 0, fetched.text
    command = [
        sys.executable, "-m", "ssl_ood", "pack", "toy", "--catalogue", str(catalogue), "--split",
        "train", "--size", "512", "--manifest", str(manifest), "--output", str(tmp_path / "packed"),
        "--workers", "2",
    ]  # fmt: skip
    with started(command, tmp_path) as child:
        until(lambda: list(tmp_path.glob(".packed.partial*/*")) or list(tmp_path.glob(".packed*")))
        time.sleep(0.5)  # its workers are starting
        os.killpg(child.pid, signal.SIGINT)
        assert child.stderr.read() == "ssl_ood pack: interrupted\n"
        assert child.wait(60) == 128 + signal.SIGINT
    assert not (tmp_path / "packed").exists()


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- trainings that go on


@pytest.fixture
def training(tmp_path):
    """A process that holds the lock of a run, and the results folder of that run."""
    lock = tmp_path / "results" / "checkpoints" / RUN / "lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with started(command, tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "holding\n"
        yield process, tmp_path / "results"
        process.stdin.close()


def test_a_training_left_behind_is_told_with_its_process(training):
    process, results = training
    said = describe_left(results)
    assert f"{RUN} (process {process.pid} on " in said
    assert describe_left(results, {RUN}) == said
    assert describe_left(results, {"another"}) == ""
    process.stdin.close()
    process.wait(60)
    assert left_trainings(results) == {}


def test_over_a_disk_without_locks_their_progress_tells(tmp_path):
    write_progress(tmp_path / "progress" / "a.json", run="a")
    gone = json.loads((tmp_path / "progress" / "a.json").read_text()) | {"pid": 2**22 + 1}
    (tmp_path / "progress" / "b.json").write_text(json.dumps(gone))
    old = gone | {"host": "elsewhere", "updated": time.time() - 1000}
    (tmp_path / "progress" / "c.json").write_text(json.dumps(old))
    (tmp_path / "progress" / "d.json").write_text("{")
    assert left_trainings(tmp_path).keys() == {"a"}


def test_to_look_at_a_lock_leaves_it_as_it_is(tmp_path):
    lock = tmp_path / "checkpoints" / "a" / "lock"
    with exclusive(lock, "training"):
        pass
    before = lock.read_text(), lock.stat().st_mtime_ns
    assert left_trainings(tmp_path) == {}
    assert (lock.read_text(), lock.stat().st_mtime_ns) == before


def test_the_next_watch_says_so(training):
    process, results = training
    command = ("watch", "--results", results, "--", sys.executable, "-c", "")
    said = ssl_ood(*command, folder=ROOT)
    assert said.code == 0 and f"process {process.pid} on " in said.out


def test_the_next_snakemake_says_so(training, tmp_path):
    """On the terminal, before it looks idle."""
    process, results = training
    command = [sys.executable, "-m", "snakemake", f"{results}/measurements/{RUN}.parquet"]
    command += ["--cores", "1", "-s", str(ROOT / "Snakefile"), "--configfile"]
    command += [str(ROOT / name) for name in ("config.yaml", *DEMO[1:])]
    command += ["--config", f"results_dir={results}"]
    said = []
    with started(command, tmp_path) as child:
        for line in child.stderr:
            said.append(line)
            if f"{RUN} (process {process.pid} on " in line:
                break
        else:
            pytest.fail("".join(said)[-3000:])
        os.killpg(child.pid, signal.SIGKILL)
