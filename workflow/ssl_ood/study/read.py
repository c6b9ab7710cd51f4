"""From the config and the catalogue, both checked, to the experiments: how every plan begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_ood.datasets.catalogue import load_catalogue
from ssl_ood.datasets.weights import load_weights
from ssl_ood.study import check as config_check
from ssl_ood.study import runs as experiments


def read_study(
    config: dict[str, Any], root: Path = Path(), catalogue: str | None = None
) -> experiments.Experiments:
    """The experiments of a config, as Snakemake or YAML give it.

    The catalogue is the config's, below `root`, or the one named. Raises UserError for the first
    thing that is wrong in either. Nothing heavy is imported.
    """
    config = experiments.without_nulls(experiments.typed(config))
    config_check.check_shape(config)  # before anything is looked up in it
    path = root / (catalogue or config["catalogue"])
    datasets = load_catalogue(path)
    weights = load_weights(path, validate=False)  # it was, with the datasets
    config_check.check_config(config, datasets, weights)
    return experiments.load(config, datasets, weights)
