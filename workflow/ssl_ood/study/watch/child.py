"""The command that is followed: started, told to stop, and read to its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ssl_ood.common.errors import UserError

REFRESH = 0.25  # seconds between two looks where nothing is printed
KILL_AT = 3  # so many signals mean that the command does not listen
AFTER_END = 1.0  # seconds to read on once the command has ended
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REMEMBERED = 1 << 14  # bytes of the output


class Child:
    """The command, in a session of its own: the terminal's Ctrl-C reaches it once, through us."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.signals: list[int] = []  # that it was told to stop with

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        """Starts it. Raises UserError where it cannot be run."""
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            raise UserError(f"The command {command[0]} cannot be run: {error.strerror}.") from None
        if self.signals:  # while it was being started
            self._send(self.signals[-1])

    def stop(self, number: int, _frame: object = None) -> None:
        """Passes a signal on to the command and all it started."""
        self.signals.append(number)
        self._send(number if len(self.signals) < KILL_AT else signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[Child]:
    """The running command; signals to stop go on to it. One that still runs at the end is stopped.

    A signal that was ignored before (nohup) is ignored by both.
    """
    child = Child()
    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, child.stop)
    try:
        child.start(command, environment)
        yield child
    finally:
        if child.process is not None and child.process.poll() is None:
            child.stop(signal.SIGTERM)
        for number, handler in before.items():
            signal.signal(number, handler)


class Output:
    """What the command prints: all of it goes to the file `path`, the end of it is remembered."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(path, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from None
        self.path, self.end, self.problem = path, b"", ""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, chunk: bytes) -> None:
        """Adds to it; a full disk costs the file, not the command. `problem` says so."""
        self.end = (self.end + chunk)[-REMEMBERED:]
        try:
            while chunk:
                chunk = chunk[self.file.write(chunk) :]
        except OSError as error:
            self.problem = f"WARNING: {self.path} is not complete: {error.strerror}"

    def last_lines(self, count: int = 30) -> list[str]:
        """The last lines that were printed, without empty ones."""
        lines = self.end.replace(b"\r", b"\n").decode(errors="replace").splitlines()
        return [line for line in lines if line.strip()][-count:]


def read_output(child: Child, output: Output, also: int | None) -> Iterator[None]:
    """Writes what the child prints to `output` until it ends; comes back every REFRESH seconds,
    after each chunk, and whenever the file descriptor `also` can be read.
    """
    process = child.process
    assert process and process.stdout
    ended = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if also is not None:
            selector.register(also, selectors.EVENT_READ)
        printing = True
        while True:
            ready = selector.select(REFRESH if printing else 0.02)
            for key, _ in ready:
                if key.fileobj is process.stdout:
                    chunk = os.read(process.stdout.fileno(), 1 << 16)
                    output.write(chunk)
                    if not chunk:
                        selector.unregister(process.stdout)
                        printing = False
            yield
            if process.poll() is None:
                continue
            # Something it left behind may hold the pipe open, or print for ever.
            ended = ended or time.monotonic()
            if not printing or not ready or time.monotonic() - ended > AFTER_END:
                return
