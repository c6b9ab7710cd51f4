"""Files inside installed packages, which the demo's images come out of."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ssl_ood.common.errors import UserError


def installed_file(file: str, package: str) -> Path:
    """Where `file`, for instance skimage/data/brick.png, lies; the package is not imported.

    Raises UserError that names the distribution `package` to install.
    """
    module, _, inside = file.partition("/")
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, inside)
        if path.is_file():
            return path
    raise UserError(
        f"{file} is not on this machine: install the Python package {package}, which holds it "
        f"({'it is installed without that file' if spec else 'it is not installed'})."
    )
