"""The paths of the config: expanded, and anchored where they belong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError

CLONE = Path(__file__).resolve().parents[3]  # of the project: what ships with it lies there
OF_THE_USER = ("results_dir", "downloads_dir", "archive_dirs")  # below the working directory
SHIPPED = ("catalogue", "reported_dir")  # in the clone, unless the working directory has them


def anchored(config: dict[str, Any], clone: Path = CLONE) -> dict[str, Any]:
    """A plain config with its paths expanded (`~`, `$VAR`), and what ships with the clone found
    there, wherever the workflow is started from.

    Values that are no paths yet are left to the check. Raises UserError for a variable that is not
    set.
    """
    changed = dict(config)
    for key in (*OF_THE_USER, *SHIPPED):
        value = changed.get(key)
        if isinstance(value, str):
            changed[key] = _expanded(value, key)
        elif isinstance(value, list | tuple):
            changed[key] = [_expanded(v, key) if isinstance(v, str) else v for v in value]
    for key in SHIPPED:
        value = changed.get(key)
        if isinstance(value, str) and not Path(value).exists() and (clone / value).exists():
            changed[key] = str(clone / value)
    plugins = changed.get("plugins")
    if isinstance(plugins, list | tuple):
        changed["plugins"] = [_plugin(v) if isinstance(v, str) else v for v in plugins]
    return changed


def _plugin(name: str) -> str:
    """A Python file by its whole path, so that a job finds it, too; a module by its name."""
    return str(Path(_expanded(name, "plugins")).absolute()) if name.endswith(".py") else name


def _expanded(value: str, key: str) -> str:
    path = os.path.expandvars(os.path.expanduser(value))
    unset = re.search(r"\$(\w+|\{\w+\})", path)
    if unset and unset[0] in value:
        raise UserError(
            f"config: {key}: {value} names the variable {unset[0]}, which is not set: set it, or "
            "write the path."
        )
    # A trailing slash would give another name to the same file.
    return path.rstrip("/") or path
