"""Snakemake's logger plugin `ssl-ood`: writes what happens as JSON, for `ssl_ood watch` to show.

    SSL_OOD_EVENTS=events.jsonl snakemake --logger=ssl-ood ...

Every event is a line of the file, or the pipe, that SSL_OOD_EVENTS names; without it, nothing is
written. Snakemake finds the package by its name wherever workflow/ is on the Python path, and every
Snakemake imports it then, so it needs nothing but Snakemake's interface. Whatever goes wrong here,
a full disk or a reader that is gone, costs events, never the workflow.
"""

from __future__ import annotations

import contextlib
import json
import os
from logging import LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase

VARIABLE = "SSL_OOD_EVENTS"
# What is kept of each event. Of `error` it is the message, too.
FIELDS = {
    "workflow_started": (),
    "run_info": ("stats",),
    "job_info": ("jobid", "rule_name", "rule_msg", "wildcards", "log", "threads", "indent"),
    "job_started": ("jobs",),
    "job_finished": ("job_id",),
    "job_error": ("jobid", "rule_name", "rule_msg", "log", "shellcmd", "aux", "indent"),
    "group_error": ("groupid", "aux_logs", "job_error_info"),
    "progress": ("done", "total"),
    "error": ("exception", "msg"),
}


class LogHandler(LogHandlerBase):
    """Writes events; prints nothing, and `--quiet` does not concern it."""

    writes_to_stream = False
    writes_to_file = False  # of Snakemake's own kind, which it would name at the end
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Opens the file; a Snakemake that a job starts does not write to it as well."""
        self.file: int | None = None
        path = os.environ.pop(VARIABLE, "")
        with contextlib.suppress(OSError):
            if path:
                how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                # A pipe that nobody reads is an error then, and does not wait for a reader.
                self.file = os.open(path, how | os.O_NONBLOCK, 0o666)
                os.set_blocking(self.file, True)

    def emit(self, record: LogRecord) -> None:
        """Writes a line about an event; what is no event, only printed, is left out."""
        if self.file is None or getattr(record, "event", None) not in FIELDS:
            return
        try:
            line = json.dumps(as_event(record), default=_plain) + "\n"
            _write(self.file, line.encode())
        except OSError:  # a disk that is full, a reader that is gone
            self.close()
        except Exception:  # an event of another shape than this Snakemake's
            return

    def close(self) -> None:
        """Closes the file."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                os.close(self.file)
        self.file = None
        super().close()


def as_event(record: LogRecord) -> dict[str, Any]:
    """The fields of a record that are kept, with its kind and its time (unix seconds)."""
    kind = str(record.event)
    fields = {name: getattr(record, name, None) for name in FIELDS[kind]}
    if kind == "group_error":
        names = ("jobid", *FIELDS["job_error"][1:])
        fields["job_error_info"] = [
            {name: info.get(name) for name in names} for info in fields["job_error_info"]
        ]
    return {"event": kind, "time": record.created, **fields}


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else str(value)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
