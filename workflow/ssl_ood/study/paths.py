"""The paths of the config: expanded, and anchored where they belong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import expanded

CLONE = Path(__file__).resolve().parents[3]  # of the project: what ships with it lies there
OF_THE_USER = (  # below the working directory
    "results_dir",
    "downloads_dir",
    "archive_dirs",
    "catalogues",
)
SHIPPED = ("catalogue", "reported_dir")  # in the clone, unless the working directory has them


def anchored(config: dict[str, Any], clone: Path = CLONE) -> dict[str, Any]:
    """A plain config with its paths expanded (`~`, `$VAR`), and what ships with the clone found
    there, wherever the workflow is started from.

    Values that are no paths yet are left to the check. Raises UserError for a path that cannot be
    meant.
    """
    changed = dict(config)
    for key in (*OF_THE_USER, *SHIPPED):
        value, place = changed.get(key), f"config: {key}"
        if isinstance(value, str):
            changed[key] = expanded(value, place)
        elif isinstance(value, list | tuple):
            changed[key] = [expanded(v, place) if isinstance(v, str) else v for v in value]
    entries = changed.get("datasets")
    if isinstance(entries, dict):
        changed["datasets"] = {
            n: _with_paths(e, f"config: datasets.{n}") for n, e in entries.items()
        }
    if isinstance(changed.get("results_dir"), str):
        _check_results(changed["results_dir"])
    for key in SHIPPED:
        value = changed.get(key)
        if isinstance(value, str) and not Path(value).exists() and (clone / value).exists():
            changed[key] = str(clone / value)
    image = changed.get("container")
    if isinstance(image, str) and "://" not in image:  # else an address
        changed["container"] = str(Path(expanded(image, "config: container")).absolute())
    plugins = changed.get("plugins")
    if isinstance(plugins, list | tuple):
        changed["plugins"] = [_plugin(v) if isinstance(v, str) else v for v in plugins]
    return changed


def _with_paths(entry: Any, place: str) -> Any:
    """An entry of a catalogue with whole paths of its local archives."""
    if not isinstance(entry, dict) or not isinstance(entry.get("archives"), list):
        return entry
    archives = [
        {**a, "path": str(Path(expanded(a["path"], f"{place}: path")).absolute())}
        if isinstance(a, dict) and isinstance(a.get("path"), str)
        else a
        for a in entry["archives"]
    ]
    return {**entry, "archives": archives}


def _plugin(name: str) -> str:
    """A Python file by its whole path, so that a job finds it, too; a module by its name."""
    if not name.endswith(".py"):
        return name
    return str(Path(expanded(name, "config: plugins")).absolute())


def _check_results(path: str) -> None:
    """Raises UserError where no folder can be, or none that Snakemake can name files in."""
    place = f"config: results_dir {path}"
    if path in (".", "/") or Path(path).name == "..":
        raise UserError(f"{place} is not a folder of its own: name one, such as results.")
    if "{" in path or "}" in path:
        raise UserError(
            f"{place} has curly brackets in its name, with which Snakemake names wildcards: take "
            "another name."
        )
    check_links(Path(path), "config: results_dir")
    there = next(folder for folder in (Path(path), *Path(path).parents) if os.path.exists(folder))
    if not there.is_dir():
        raise UserError(
            f"{place} cannot be made, since {there} is not a folder: take another name."
        )


def check_links(folder: Path, place: str) -> None:
    """Raises UserError where a folder, or one in it, is a link to what is not there."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in (folder, *inside):
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"{place}: {path} is a link to {os.readlink(path)}, which is not there: mount its "
                "disk, make the folder, or remove the link."
            )
