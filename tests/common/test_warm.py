"""Stages that start warm do what they would do cold, and end as they would end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_ood.common.paths import as_variable
from ssl_ood.common.warm.client import VARIABLE
from ssl_ood.common.warm.server import start
from ssl_ood.declarations import PLUGINS

ROOT = Path(__file__).parents[2]
STAGE = [sys.executable, "-m", "ssl_ood", "list", "shift"]
# A plugin is run by the stage, in its process.
TELL = """
import json, os, sys
mask = os.umask(0)
os.umask(mask)
told = {"folder": os.getcwd(), "warm": "seaborn" in sys.modules, "mask": mask,
        "mark": os.environ.get("MARK"), "arguments": sys.argv[1:], "stdin": sys.stdin.read()}
print(json.dumps(told), file=sys.stderr)
"""
SLEEP = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pathlib.Path(os.environ["MARK"]).write_text(str(os.getpid()))
while True:
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def server():
    """The environment of stages that start warm."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT / "workflow")
    stop = start(1)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    path = Path(json.loads(environment[VARIABLE])[-1])
    wait_for(path.exists)
    yield environment
    stop()
    os.environ.clear()
    os.environ.update(before)
    assert not path.parent.exists()


@pytest.fixture
def cold(server):
    """The same without a server."""
    return {name: value for name, value in server.items() if name != VARIABLE}


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def plugin(folder: Path, code: str) -> dict[str, str]:
    """The environment in which a stage runs `code`."""
    (folder / "plugin.py").write_text(code)
    return {PLUGINS: as_variable([str(folder / "plugin.py")])}


def run(environment, *command, **options):
    return subprocess.run(
        command or STAGE, env=environment, capture_output=True, text=True, **options
    )


def test_all_that_a_stage_is_given_reaches_it(server, cold, tmp_path):
    own = plugin(tmp_path, TELL) | {"MARK": "é\n"}
    told = []
    for environment in (server, cold):
        done = run(environment | own, cwd=tmp_path, input="in", umask=0o027)
        assert done.returncode == 0, done.stderr
        told.append((done.stdout, json.loads(done.stderr.splitlines()[0])))
    (out, warm), (expected, told_cold) = told
    assert out == expected and "rot90" in out
    assert warm.pop("warm") is True and told_cold.pop("warm") is False
    assert warm == told_cold
    assert warm["folder"] == str(tmp_path) and (warm["mark"], warm["stdin"]) == ("é\n", "in")


@pytest.mark.parametrize("arguments", [["list", "shiftt"], ["--version"], ["list", "--no"], []])
def test_it_ends_with_the_same_code_and_words(server, cold, arguments):
    command = [sys.executable, "-m", "ssl_ood", *arguments]
    warm, other = run(server, *command), run(cold, *command)
    assert (warm.returncode, warm.stdout, warm.stderr) == (
        other.returncode, other.stdout, other.stderr,
    )  # fmt: skip


def test_an_exception_that_nobody_caught_is_shown(server, tmp_path):
    done = run(server | plugin(tmp_path, "raise SystemExit('not so')"))
    assert done.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_stage_that_a_signal_ends_ends_its_client_so(server, tmp_path, number):
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    assert run(server | plugin(tmp_path, code)).returncode == -number


@pytest.fixture
def sleeping(server, tmp_path):
    """A stage that runs until it is told to stop: its client, and its own process's number."""
    mark = tmp_path / "mark"
    with subprocess.Popen(STAGE, env=server | plugin(tmp_path, SLEEP) | {"MARK": str(mark)}) as it:
        wait_for(lambda: mark.exists() and mark.read_text())
        yield it, int(mark.read_text())
        it.kill()


def gone(process: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def test_a_signal_to_the_client_is_one_to_the_stage(sleeping):
    client, process = sleeping
    assert process != client.pid
    client.send_signal(signal.SIGTERM)
    assert client.wait(60) == 7
    wait_for(lambda: gone(process))


def test_an_interrupt_is_one_line(sleeping, capfd):
    client, process = sleeping
    client.send_signal(signal.SIGINT)
    assert client.wait(60) == 130
    wait_for(lambda: gone(process))
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_is_killed_takes_its_stage_along(sleeping):
    client, process = sleeping
    client.kill()
    client.wait(60)
    wait_for(lambda: gone(process))


@pytest.mark.parametrize(
    "change",
    [{"OMP_NUM_THREADS": "2"}, {"SLURM_JOB_ID": "1"}, {VARIABLE: '["a", "b", "1", "/nowhere"]'}],
    ids=["other threads", "a job of SLURM", "other code"],
)
def test_what_the_server_does_not_fit_starts_cold(server, tmp_path, change):
    done = run(server | plugin(tmp_path, TELL) | change, input="")
    assert done.returncode == 0
    assert json.loads(done.stderr.splitlines()[0])["warm"] is False


def test_it_ends_with_the_workflow_however_that_ends(cold, tmp_path):
    """A stage under way is finished first."""
    code = (
        "import os, sys, time\n"
        "from ssl_ood.common.warm.server import start\n"
        "start(1)\n"
        "print(os.environ['SSL_OOD_WARM'], flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=cold, stdout=subprocess.PIPE, text=True) as workflow:
        variable = workflow.stdout.readline().strip()
        path = json.loads(variable)[-1]
        wait_for(lambda: Path(path).exists())
        mark = tmp_path / "mark"
        own = plugin(tmp_path, SLEEP) | {"MARK": str(mark), VARIABLE: variable}
        with subprocess.Popen(STAGE, env=cold | own) as client:
            wait_for(lambda: mark.exists() and mark.read_text())
            process = int(mark.read_text())
            workflow.kill()
            workflow.wait()
            time.sleep(0.5)
            assert not gone(process) and client.poll() is None
            client.send_signal(signal.SIGTERM)
            assert client.wait(60) == 7
        processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
        named = [entry for entry in processes if path in command_of(entry)]
        wait_for(lambda: all(gone(int(entry.name)) for entry in named))


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_a_place_that_no_socket_fits_into_is_one_sentence(cold, tmp_path):
    """A socket's path has at most some 100 bytes."""
    place = tmp_path / ("x" * 100)
    place.mkdir()
    code = "from ssl_ood.common.warm.server import start\nstart(1)()"
    done = run(cold | {"TMPDIR": str(place)}, sys.executable, "-c", code)
    assert done.returncode == 0
    assert done.stderr.startswith(f"no socket can be made at {place}")
    assert done.stderr.endswith("(AF_UNIX path too long): stages start cold\n")
    assert done.stderr.count("\n") == 1
