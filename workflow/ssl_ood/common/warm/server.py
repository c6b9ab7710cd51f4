"""The server: it has everything imported, and forks a process for every stage that asks.

The workflow's process starts it (`start`) and holds the other end of its standard input, so that
it ends with the workflow, however that ends; stages under way are finished first. For each stage
there are two processes: one that runs it, and one that waits for both the stage and its client. A
client that is killed takes the stage along.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from ssl_ood.common.warm.client import ENDED, FORWARDED, SIZE, THREADS, VARIABLE, address

# What stages import that takes long; what is not installed is left out.
HEAVY = (
    "torch", "torchvision", "timm", "sklearn.metrics", "sklearn.neighbors", "scipy.stats", "pandas",
    "pyarrow.parquet", "matplotlib.pyplot", "seaborn", "PIL.Image",
)  # fmt: skip
STAGES = "ssl_ood.cli"
BACKLOG = 64


def start(threads: int) -> Callable[[], None]:
    """Starts a server for stages of `threads` threads, which they find in their environment; a
    function that ends it once the stages under way have ended. On Linux alone: elsewhere stages
    start cold."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    folder = tempfile.TemporaryDirectory(prefix="ssl_ood-")  # of this user alone
    path = os.path.join(folder.name, "socket")
    limits = dict.fromkeys((THREADS, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    # The allocator of pyarrow would start a thread as it is imported.
    limits["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    server = subprocess.Popen(
        [sys.executable, "-m", __name__, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | limits,
        start_new_session=True,  # a Ctrl-C is for the stages: their clients pass it on
    )
    os.environ[VARIABLE] = address(path, str(threads))

    def stop() -> None:
        os.environ.pop(VARIABLE, None)
        server.stdin.close()
        server.wait()
        folder.cleanup()

    atexit.register(stop)
    return stop


def serve(path: str) -> list[str]:
    """Listens at `path` until standard input ends. Returns in the child that is to run a stage
    alone, with its arguments."""
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module(STAGES).declare_everything()
    if len(os.listdir("/proc/self/task")) > 1:
        _give_up("a library has started threads, which no child would have")
    gc.collect()
    gc.freeze()  # else each child's collector would touch, and so copy, all that was imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(path)
        except OSError as error:  # such as a folder whose name is too long for a socket
            _give_up(f"no socket can be made at {path} ({error})")
        listener.listen(BACKLOG)
        waiting = set()
        while True:
            ready, _, _ = select.select([listener, 0], [], [], 1.0 if waiting else None)
            waiting -= {child for child in waiting if os.waitpid(child, os.WNOHANG)[0]}
            if 0 in ready:
                break
            if listener in ready:
                channel, _ = listener.accept()
                child = os.fork()
                if not child:
                    listener.close()
                    return _stage(channel)
                waiting.add(child)
                channel.close()
        for child in waiting:
            os.waitpid(child, 0)
        os._exit(0)  # nothing to write, and taking all libraries down takes a second


def _give_up(why: str) -> NoReturn:
    print(f"{why}: stages start cold", file=sys.stderr, flush=True)
    os._exit(1)  # at the interpreter's own end, a library would complain of frozen objects


def _stage(channel: socket.socket) -> list[str]:
    """Forks once more: the parent waits and tells the client how the stage ended."""
    size, files, _, _ = socket.recv_fds(channel, SIZE.size, 3)
    request = b""
    if len(size) == SIZE.size:
        length = SIZE.unpack(size)[0]
        while len(request) < length and (part := channel.recv(length - len(request))):
            request += part
    if len(files) != 3 or not request:
        os._exit(1)  # a client that was killed as it asked
    child = os.fork()
    if child:
        for file in files:
            os.close(file)
        _wait(channel, child)
    channel.close()
    arguments, folder, environment, mask = json.loads(request)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    # Those of the server know that theirs were files, with a position.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.umask(mask)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return arguments


def _wait(channel: socket.socket, child: int) -> None:
    """Passes signals on until the stage ends, and tells how; never returns."""
    ends = os.pidfd_open(child)
    gone = False
    while True:
        ready, _, _ = select.select([ends] if gone else [ends, channel], [], [])
        if ends in ready:
            break
        numbers = _received(channel)
        gone = not numbers
        for number in numbers or [signal.SIGKILL]:
            if number in FORWARDED or gone:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        channel.sendall(ENDED.pack(code))
    os._exit(0)


def _received(channel: socket.socket) -> bytes:
    try:
        return channel.recv(64)
    except OSError:
        return b""


def _run(arguments: list[str]) -> None:
    """Runs a stage and ends as the interpreter would, but for taking down what was imported."""
    sys.argv[1:] = arguments
    code: int | str | None = 1
    try:
        code = importlib.import_module(STAGES).main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # while it was starting
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _run(serve(sys.argv[1]))
