"""Archives out of a Debian package, without root and without installing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT = 180  # seconds for one command of apt's


def fetch_debian_package(
    package: Mapping[str, str], files: Sequence[str], folder: Path
) -> str | None:
    """Copies `files` of Debian package `{package, path}` into `folder`; returns what went wrong.

    Where apt has no lists of what there is (a fresh container), they are fetched into a scratch
    folder, which needs no root either. The files are not verified here.
    """
    name = package["package"]
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return f"Debian's package {name}: this machine has no apt-get and dpkg-deb."
    # Absolute: the commands run inside the scratch folder.
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=folder.resolve()) as scratch:
        lists = Path(scratch, "lists")
        (lists / "partial").mkdir(parents=True)
        options = [
            "-q",
            "-o",
            "Acquire::Retries=1",
            "-o",
            "Acquire::http::Timeout=10",
            "-o",
            "Acquire::https::Timeout=10",
            "-o",
            "APT::Sandbox::User=",
        ]
        private = [*options, "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={scratch}"]
        problem = _run(["apt-get", *options, "download", name], scratch)
        if problem is not None:
            problem = _run(["apt-get", *private, "update"], scratch) or _run(
                ["apt-get", *private, "download", name], scratch
            )
        if problem is not None:
            return f"Debian's package {name}: {problem}"
        deb = next(Path(scratch).glob(f"{name}_*.deb"), None)
        if deb is None:
            return f"Debian's package {name}: apt-get left no file."
        problem = _run(["dpkg-deb", "-x", str(deb), "unpacked"], scratch)
        if problem is not None:
            return f"Debian's package {name}: {problem}"
        for file in files:
            source = Path(scratch, "unpacked", package["path"], file)
            if not source.is_file():
                return f"Debian's package {name}: it holds no {package['path']}/{file}."
            os.replace(source, folder / file)  # the same disk: a rename, whole or not at all
    return None


def _run(command: Sequence[str], folder: str) -> str | None:
    """Runs the command; returns None or the last line of its complaint."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not finish within {TIMEOUT} s."
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"{' '.join(command[:1] + command[-2:])} failed ({lines[-1] if lines else 'no word'})."
