"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError, reason


@contextlib.contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Passes over a disk that cannot be told to write now, as some network disks cannot."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


PARTIAL = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<process>\d+)\.partial")
FORGOTTEN_SECONDS = 24 * 3600.0  # since a half-written file was last written to


class Unreadable(UserError, ValueError):
    """A file is not of the format that it should have."""


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` when the block ends well, else removed.

    durable: the content is on the disk before the name appears. What killed processes have left
    half written in this folder is removed. Who may read and write it follows the umask, also where
    a library writes files for one person only (safetensors).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    partial = path.with_name(f".{path.name}.{_host()}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        if partial.stat().st_mode != mode:
            partial.chmod(stat.S_IMODE(mode))
        if durable:
            with open(partial, "rb+") as file, suppress_unsupported():
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk says against writing `path` into a sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}: {error.filename}): see to the rights and "
            "the room on the disk of its folder."
        ) from None


def sweep(folder: Path) -> None:
    """Removes the files in `folder` that a killed process has left half written.

    Their names tell host and process. Of a process of another host nothing is known: its file goes
    when nobody has written to it for a day, as does one that names no host.
    """
    for path in folder.glob(".*.partial"):
        with contextlib.suppress(OSError):  # another process sweeps too, or may and this one not
            if path.is_file() and _forgotten(path):
                path.unlink()


def _forgotten(path: Path) -> bool:
    named = PARTIAL.fullmatch(path.name)
    if named and named["host"] == _host():
        return not _alive(int(named["process"]))
    return time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another person's
        return True
    return True


def _host() -> str:
    """This host's name, fit for a part of a file's."""
    return re.sub(r"[^\w-]+", "_", socket.gethostname()) or "host"


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path`, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON to `path`, atomically. NaN and infinities are an error."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises Unreadable, a UserError, for a file that is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(
            f"{path} is damaged: it is not JSON ({reason(error)}). Remove it and make it again."
        ) from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, by the C parser where there is one: seven times as fast."""
    import yaml

    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
