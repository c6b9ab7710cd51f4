"""The pipe that Snakemake's logger plugin writes its events to, and the command that makes it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ssl_ood

VARIABLE = "SSL_OOD_EVENTS"  # the plugin's
LOGGER = "--logger=ssl-ood"  # in one word, so that no target after it is taken for a logger
WORKFLOW = Path(ssl_ood.__file__).parents[1]  # where the plugin lies


class EventPipe:
    """A named pipe: it works at any depth of commands, whatever they close, and on a full disk.

    `file` is to be waited for and `environment` is the command's; `file` is None where no pipe can
    be made.
    """

    def __init__(self) -> None:
        self.file: int | None = None
        self.environment = dict(os.environ)
        self._rest, self._made = b"", contextlib.ExitStack()

    def __enter__(self) -> EventPipe:
        with contextlib.suppress(OSError):
            folder = self._made.enter_context(tempfile.TemporaryDirectory(prefix="ssl_ood-watch-"))
            path = Path(folder) / "events"
            os.mkfifo(path, 0o600)
            # Open for writing, too: a pipe without a writer would always be ready to read.
            self.file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            self._made.callback(os.close, self.file)
            paths = [str(WORKFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
            self.environment |= {VARIABLE: str(path), "PYTHONPATH": os.pathsep.join(paths)}
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()

    def read(self) -> Iterator[dict[str, Any]]:
        """The events that have come since."""
        while self.file is not None:
            try:
                chunk = os.read(self.file, 1 << 16)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):  # not one of the plugin's
                    yield json.loads(line)


def with_logger(command: list[str]) -> list[str]:
    """The command with the logger that writes events, if it is a Snakemake without a --logger.

    `snakemake ...` and `python -m snakemake ...` are; a script that calls Snakemake, or one with
    loggers of its own, names ssl-ood itself.
    """
    program = Path(command[0]).name
    if any(word.partition("=")[0] == "--logger" for word in command):
        return command
    if program == "snakemake":
        return [command[0], LOGGER, *command[1:]]
    if program.startswith("python") and command[1:3] == ["-m", "snakemake"]:
        return [*command[:3], LOGGER, *command[3:]]
    return command
