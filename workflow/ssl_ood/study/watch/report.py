"""What went wrong, in full: each failed job once, with the end of its log files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ssl_ood.study.watch.jobs import Failure, Jobs


def failure_report(jobs: Jobs, printed: Iterable[str], base: Path, lines: int = 30) -> str:
    """Failed jobs with the last `lines` of their log files, then errors of the workflow itself.

    printed: the last lines that the command printed; they stand for a log file where there is none,
    or where the command is no Snakemake. base: what the paths of log files are relative to.
    """
    parts, speechless = [], not jobs.failures and not jobs.errors
    for failure in jobs.failures:
        parts.append(_describe(failure))
        tails = [_tail(base / path, path, lines) for path in failure.logs]
        readable = [tail for tail in tails if tail]
        parts += readable
        speechless |= not readable
    parts += jobs.errors
    if speechless and (text := "\n".join(f"    {line}" for line in printed)):
        parts.append(f"The last lines that were printed:\n{text}")
    return "\n\n".join(parts)


def _describe(failure: Failure) -> str:
    text = [f"{failure.title} failed"]
    text += [f"    wildcards: {wildcards}" for wildcards in failure.wildcards]
    text += [f"    log: {path}" for path in failure.logs]
    return "\n".join(text + [f"    {line.strip()}" for line in failure.detail.splitlines()])


def _tail(path: Path, name: str, lines: int) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").rstrip()
    except FileNotFoundError:  # a job of a group whose turn did not come
        return ""
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    end = "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
    return f"The end of {name}:\n{end}" if end else ""
