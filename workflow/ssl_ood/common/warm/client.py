"""What a stage does that may start warm: it passes everything on, signals too, and waits.

Imports next to nothing, because every stage begins here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys

VARIABLE = "SSL_OOD_WARM"  # the `address` of a server
SIZE = struct.Struct("!I")  # of the request that follows
ENDED = struct.Struct("!i")  # how it ended: its exit code, or a signal's number below zero
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# A scheduler gives each of its jobs limits, and torchrun each of its processes a place: both would
# miss a process that is the server's child.
KEPT_COLD = ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")
THREADS = "OMP_NUM_THREADS"  # read once, while numerical libraries are imported


def address(path: str, threads: str | None) -> str:
    """What `VARIABLE` is where the server at `path` runs this code with this interpreter."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return json.dumps([sys.executable, package, threads, path])


def run_warm(arguments: list[str]) -> int | None:
    """The exit code of a stage that a server's child has run; None if none has.

    Ends this process by the signal that ended the stage, as if it had been this one.
    """
    socket_path = os.environ.get(VARIABLE)
    if not socket_path or any(name in os.environ for name in KEPT_COLD):
        return None
    path = json.loads(socket_path)[-1]
    if socket_path != address(path, os.environ.get(THREADS)):
        return None
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(path)
    except OSError:  # not ready yet, or gone
        return None
    with channel:
        return _followed(channel, arguments)


def _followed(channel: socket.socket, arguments: list[str]) -> int:
    def forward(number, frame):
        with contextlib.suppress(OSError):  # it has ended
            channel.send(bytes([number]))

    mask = os.umask(0)
    os.umask(mask)
    request = json.dumps([arguments, os.getcwd(), dict(os.environ), mask]).encode()
    socket.send_fds(channel, [SIZE.pack(len(request))], [0, 1, 2])
    channel.sendall(request)
    # Not before: the number of a signal in the middle of the request would spoil it.
    for number in FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    received = b""
    while len(received) < ENDED.size and (part := channel.recv(ENDED.size - len(received))):
        received += part
    # Without a word: who was to tell was killed, and the stage with it.
    code = ENDED.unpack(received)[0] if len(received) == ENDED.size else -signal.SIGKILL
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
