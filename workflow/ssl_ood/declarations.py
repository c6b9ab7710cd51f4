"""Everything that is declared: importing these modules fills the registry (`common/registry.py`).

Only the command line, the Snakefile and the tests call `declare_everything`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

MODULES = (
    "ssl_ood.methods.dino.settings",
    "ssl_ood.methods.moco.settings",
    "ssl_ood.methods.finetune.settings",
    "ssl_ood.views.shifts",
)


def declare_everything(plugins: Sequence[str] = ()) -> None:
    """Imports all modules that declare something; plugins: more of them, by their names."""
    for name in (*MODULES, *plugins):
        import_module(name)
