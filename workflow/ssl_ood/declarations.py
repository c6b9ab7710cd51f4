"""Imports every module that declares something, and the plugins of a config.

Only the command line, the Snakefile and tests call this: the rooms read the registry.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ssl_ood.common.errors import UserError
from ssl_ood.common.registry import declare
from ssl_ood.common.settings import Many, Settings

DECLARING = (
    "ssl_ood.views.shifts",
    "ssl_ood.methods.dino.settings",
    "ssl_ood.methods.moco.settings",
    "ssl_ood.methods.finetune.settings",
    "ssl_ood.datasets.readers_archives",
    "ssl_ood.datasets.readers_arrays",
    "ssl_ood.datasets.readers_medical",
    "ssl_ood.datasets.demo.readers",
    "ssl_ood.evaluation.scores.cosine",
    "ssl_ood.evaluation.scores.logit",
    "ssl_ood.evaluation.scores.mahalanobis",
)
PLUGINS = "SSL_OOD_PLUGINS"  # the variable that tells jobs, separated as PATH is


def declare_everything(plugins: Iterable[str] = ()) -> None:
    """Fills the registry; plugins: importable modules, or paths of Python files.

    Modules are looked for in the working directory, too. Raises UserError for a plugin that cannot
    be imported.
    """
    for name in DECLARING:
        import_module(name)
    _declare_forms()
    for name in plugins:
        _import_plugin(name)


def _import_plugin(name: str) -> None:
    try:
        if name.endswith(".py"):
            _import_file(Path(name))
            return
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        import_module(name)
    except UserError:
        raise
    except Exception as error:  # whatever a module of the user's does when it is imported
        raise UserError(
            f"config: plugins: {name} cannot be imported ({type(error).__name__}: {error}): "
            "correct it, or take it out of the list."
        ) from error


def _import_file(path: Path) -> None:
    """Imports a Python file under its stem, once."""
    module_name = path.stem
    loaded = sys.modules.get(module_name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return
    spec = spec_from_file_location(module_name, path.resolve())
    if spec is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise


class Measured(Settings):
    """Options of the forms."""

    reported: str | Many[str] | None = Field(
        None, description="the tables and figures of the reported values that stand beside"
    )
    score: str | None = Field(None, description="without it the first of the study")
    titles: dict[str, str] = Field({}, description="of its variants")
    near: str | None = Field(None, description="an OOD set that is like the in-distribution set")
    far: str | None = Field(None, description="an OOD set that is not")


class Roles(Settings):
    """In-distribution datasets of the study that stand for those of chapter 7."""

    rsna: str | None = Field(None, description="for RSNA")
    hyper_kvasir: str | None = Field(None, description="for Hyper-Kvasir")
    lag: str | None = Field(None, description="for LAG")


class Claims(Measured):
    """Options of the tables of claims."""

    claims: Annotated[str, Field(pattern="^section [1-9]$")] = Field(
        description="where the thesis makes them"
    )
    roles: Roles = Field(Roles(), description="who stands for a set of chapter 7")


TABLES = (
    "ood_auroc", "negative_sampling", "quality", "hyperparameters", "rsna_contrastive",
    "batch_size", "augmentation", "pretraining", "label_efficiency", "rsna", "medical",
    "shifts_medical", "claims", "claims_medical",
)  # fmt: skip
FIGURES = {
    "sensitivity": {"measurements"}, "occupied_soft_classes": {"measurements"},
    "label_efficiency": {"measurements"}, "negative_sources": {"measurements"},
    "score_distributions": {"measurements", "scores"}, "color_histograms": {"images"},
    "negatives": {"views"}, "views": {"views"}, "views_rsna": {"views"},
}  # fmt: skip


def _declare_forms() -> None:
    for name in TABLES:
        settings = Claims if name.startswith("claims") else Measured
        target = f"ssl_ood.report.tables.natural:{name}"
        declare("table", name, target, title=name, needs={"measurements"}, settings=settings)
    for name, needs in FIGURES.items():
        target = f"ssl_ood.report.figures.natural:{name}"
        declare("figure", name, target, title=name, needs=needs, settings=Measured)
