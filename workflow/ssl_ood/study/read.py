"""From the config and the catalogue, both checked, to the experiments: how every plan begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ssl_ood.common.settings import read_settings
from ssl_ood.datasets.catalogues import load_catalogues, of_config
from ssl_ood.study.check import check_config
from ssl_ood.study.check_runs import check_runs
from ssl_ood.study.check_targets import check_targets
from ssl_ood.study.expand import expand
from ssl_ood.study.layers import typed, without_nulls
from ssl_ood.study.own import expand_own, refuse_twins
from ssl_ood.study.paths import anchored
from ssl_ood.study.runs import Experiments
from ssl_ood.study.settings import Config


def read_study(
    config: dict[str, Any], catalogue: tuple[list[str], dict[str, Any]] | None = None
) -> Experiments:
    """The experiments of a config, as Snakemake or YAML give it.

    catalogue: files and entries of the catalogue, instead of the config's. Everything has been
    declared (`ssl_ood.declarations`), the config's plugins included. Raises UserError for the first
    thing that is wrong. Nothing heavy is imported.
    """
    own = expand_own(anchored(without_nulls(typed(config))))
    plain = own.config
    settings = read_settings(Config, plain, "config:")
    catalogues = load_catalogues(*(catalogue or of_config(plain)))
    refuse_twins(own.own, plain, catalogues.replaced)
    check_config(settings, catalogues.datasets, catalogues.weights)
    check_targets(settings)
    experiments = expand(settings, plain, catalogues.datasets, catalogues.weights)
    experiments = replace(
        experiments, own=own.own, remarks=(*catalogues.replaced.values(), *own.remarks)
    )
    check_runs(experiments)
    return experiments


def plugins_of(config: dict[str, Any]) -> list[str]:
    """The plugins that a config names, as `ssl_ood.declarations` takes them."""
    named = anchored(without_nulls(config)).get("plugins") or ()
    return [name for name in named if isinstance(name, str)]
