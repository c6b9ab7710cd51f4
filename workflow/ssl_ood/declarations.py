"""Imports every module that declares something, and the plugins of a config.

Only the command line, the Snakefile and tests call this: the rooms read the registry.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from ssl_ood.common.errors import UserError

DECLARING = (
    "ssl_ood.views.shifts",
    "ssl_ood.methods.dino.settings",
    "ssl_ood.methods.moco.settings",
    "ssl_ood.methods.finetune.settings",
    "ssl_ood.methods.supervised.settings",
    "ssl_ood.methods.rotation.settings",
    "ssl_ood.methods.geometric.settings",
    "ssl_ood.methods.simclr.settings",
    "ssl_ood.methods.csi.settings",
    "ssl_ood.methods.glow.settings",
    "ssl_ood.methods.uae.settings",
    "ssl_ood.methods.ccd.settings",
    "ssl_ood.methods.igd.settings",
    "ssl_ood.methods.mtl.settings",
    "ssl_ood.methods.alpha_gan.settings",
    "ssl_ood.methods.one_class_gan.settings",
    "ssl_ood.methods.cavga.settings",
    "ssl_ood.methods.objects.settings",
    "ssl_ood.methods.simsiam.settings",
    "ssl_ood.methods.byol.settings",
    "ssl_ood.methods.npid.settings",
    "ssl_ood.methods.patches.settings",
    "ssl_ood.methods.jigsaw.settings",
    "ssl_ood.methods.swav.settings",
    "ssl_ood.methods.inpainting.settings",
    "ssl_ood.datasets.readers_archives",
    "ssl_ood.datasets.readers_arrays",
    "ssl_ood.datasets.readers_medical",
    "ssl_ood.datasets.readers_own",
    "ssl_ood.datasets.demo.readers",
    "ssl_ood.evaluation.scores.classifiers",
    "ssl_ood.evaluation.scores.contrastive",
    "ssl_ood.evaluation.scores.cosine",
    "ssl_ood.evaluation.scores.likelihood",
    "ssl_ood.evaluation.scores.logit",
    "ssl_ood.evaluation.scores.mahalanobis",
    "ssl_ood.evaluation.scores.objects",
    "ssl_ood.evaluation.scores.reconstruction",
    "ssl_ood.evaluation.shortcuts.images",
    "ssl_ood.evaluation.shortcuts.files",
    "ssl_ood.report.claims.table",
    "ssl_ood.report.figures.images",
    "ssl_ood.report.figures.label_efficiency",
    "ssl_ood.report.figures.learning_curves",
    "ssl_ood.report.figures.natural",
    "ssl_ood.report.figures.negative_sources",
    "ssl_ood.report.figures.scores",
    "ssl_ood.report.figures.views",
    "ssl_ood.report.tables.ablations",
    "ssl_ood.report.tables.label_efficiency",
    "ssl_ood.report.tables.hyperparameters",
    "ssl_ood.report.tables.likelihood",
    "ssl_ood.report.tables.medical",
    "ssl_ood.report.tables.methods",
    "ssl_ood.report.tables.natural",
    "ssl_ood.report.tables.objects",
    "ssl_ood.report.tables.own",
    "ssl_ood.report.tables.pretext",
    "ssl_ood.report.tables.protocol",
    "ssl_ood.report.tables.quality",
    "ssl_ood.report.tables.readings",
    "ssl_ood.report.tables.scores",
    "ssl_ood.report.tables.shortcuts",
)
PLUGINS = "SSL_OOD_PLUGINS"  # the variable that tells jobs


def declare_everything(plugins: Iterable[str] = ()) -> None:
    """Fills the registry; plugins: importable modules, or paths of Python files.

    Modules are looked for in the working directory, too. Raises UserError for a plugin that cannot
    be imported.
    """
    for name in DECLARING:
        import_module(name)
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
