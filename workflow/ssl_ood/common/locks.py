"""File locks: one process at a time, on one machine or on many that share a disk.

The kernel releases a lock when its process ends, however it ends, so a lock file that is left
behind locks nothing. It is never deleted: another process may be about to lock it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ssl_ood.common.errors import UserError
from ssl_ood.common.log import say
from ssl_ood.common.slurm import job_id

FOREVER = math.inf
# Of flock on some network disks; EBADF where such a one wants a file that is open for writing.
NO_LOCKS = (
    errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EBADF
)  # fmt: skip
POLL_SECONDS = 1.0


class Busy(UserError):
    """Another process holds the lock."""


@contextlib.contextmanager
def exclusive(
    path: Path, doing: str, wait: float = 0.0, *, inheritable: bool = False
) -> Iterator[None]:
    """Holds the lock file `path`, which is made if it is not there, along with its folder.

    doing: what its holder does, for the messages: "training this run". wait: seconds to wait for
    another holder, who is named on stderr; FOREVER waits until it ends. inheritable: programs that
    this process starts or becomes hold the lock as well.

    A disk without file locks is a warning, once, and the block runs all the same. Raises Busy, a
    UserError, where another process holds the lock after `wait`, and OSError where the file cannot
    be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _open(path)
    try:
        os.set_inheritable(lock, inheritable)
        _take(lock, path, doing, wait)
        with contextlib.suppress(OSError):  # it only serves the message
            os.ftruncate(lock, 0)
            os.write(lock, _this_process().encode())
        yield
    finally:
        os.close(lock)


def is_held(path: Path) -> bool:
    """Whether another process holds the lock file `path`; False where nobody can tell."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # the umask decides who else may
    except PermissionError as error:
        # Another person's: it can be held, not written to.
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY)
        raise error from None


def _take(lock: int, path: Path, doing: str, wait: float) -> None:
    deadline, announced = time.monotonic() + wait, False
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return _warn(path.parent, error.strerror, doing)
        if time.monotonic() >= deadline:
            raise Busy(
                f"Another process is {doing} already (it holds {path}): wait for it or stop it."
            )
        if not announced:
            say(f"waiting for the {holder(path)}, which is {doing}")
            announced = True
        time.sleep(POLL_SECONDS)


@functools.cache
def _warn(folder: Path, reason: str, doing: str) -> None:
    say(
        f"WARNING: the disk of {folder} has no file locks ({reason}): make sure that no other "
        f"process is {doing}"
    )


def holder(path: Path) -> str:
    """Who holds the lock `path`, or held it last, in words."""
    with contextlib.suppress(OSError, ValueError):
        if text := path.read_text(encoding="utf-8").strip():
            return text
    return "other process"


def _this_process() -> str:
    job = job_id()
    here = f"process {os.getpid()} on {socket.gethostname()}"
    return f"{here}, SLURM job {job}" if job else here
