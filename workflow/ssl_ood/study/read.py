"""From the config and the catalogue, both checked, to the experiments: how every plan begins."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.weights import load_weights
from ssl_ood.study.check import check_config
from ssl_ood.study.check_runs import check_runs
from ssl_ood.study.check_targets import check_targets
from ssl_ood.study.expand import expand
from ssl_ood.study.layers import typed, without_nulls
from ssl_ood.study.runs import Experiments
from ssl_ood.study.settings import Config


def read_study(
    config: dict[str, Any], root: Path = Path(), catalogue: str | None = None
) -> Experiments:
    """The experiments of a config, as Snakemake or YAML give it.

    Paths of the config are below `root`; catalogue: instead of the config's. Everything has been
    declared (`ssl_ood.declarations`) but the config's plugins. Raises UserError for the first thing
    that is wrong. Nothing heavy is imported.
    """
    plain = without_nulls(typed(config))
    load_plugins(plain.get("plugins", ()))
    settings = read_settings(Config, plain, "config:")
    path = root / (catalogue or settings.catalogue)
    datasets = load_catalogue(path)
    weights = load_weights(path, validate=False)  # it was, with the datasets
    check_config(settings, datasets, weights)
    check_targets(settings, root)
    experiments = expand(settings, plain, datasets, weights)
    check_runs(experiments)
    return experiments


def load_plugins(names: Iterable[str]) -> None:
    """Imports the modules that declare more. Raises UserError for one that cannot be imported."""
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise UserError(
                f"config: plugins: the module {name} cannot be imported ({error}): put its folder "
                "on PYTHONPATH, or take it out."
            ) from None
