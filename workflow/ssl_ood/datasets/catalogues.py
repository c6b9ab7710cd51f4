"""Several catalogues laid over each other: the shipped one, others of the config, single entries.

They are laid entry by entry: an entry takes the place of one of the same name before it as a
whole, since archives of one and splits of another would mean nothing together. What is replaced is
said. Light, as the catalogue is: every dry-run reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.paths import from_variable
from ssl_ood.datasets.catalogue import Dataset, check_schema, datasets_of, read_catalogue
from ssl_ood.datasets.weights import Weights, weights_of

FILES, ENTRIES = "SSL_OOD_CATALOGUE", "SSL_OOD_DATASETS"  # the variables that tell jobs
SHIPPED = "resources/datasets.yaml"
IN_CONFIG = "config: datasets"  # where entries of a config stand


@dataclass(frozen=True)
class Catalogues:
    """All entries by name; replaced: by name, a sentence on the entry whose place it took."""

    datasets: dict[str, Dataset]
    weights: dict[str, Weights]
    replaced: Mapping[str, str] = field(default_factory=dict)


def load_catalogues(
    paths: Sequence[str | Path], entries: Mapping[str, Any] | None = None
) -> Catalogues:
    """The catalogues at `paths`, each laid over those before it, then the `entries` of a config.

    Raises UserError for a faulty file or entry.
    """
    entries_of: dict[str, dict[str, Any]] = {"datasets": {}, "weights": {}}
    origin: dict[str, str] = {}
    replaced: dict[str, str] = {}
    layers = [(str(path), read_catalogue(path)) for path in paths]
    if entries:
        layer = {"datasets": dict(entries)}
        check_schema(layer, IN_CONFIG)
        layers.append((IN_CONFIG, layer))
    for place, layer in layers:
        for kind, known in entries_of.items():
            for name, entry in layer.get(kind, {}).items():
                if name in origin:
                    replaced[name] = f"{place} replaces the entry {name} of {origin[name]}."
                known[name], origin[name] = entry, place
    if both := entries_of["datasets"].keys() & entries_of["weights"].keys():
        raise UserError(
            f"The catalogues have the name {min(both)} twice, as a dataset and as weights: rename "
            "one."
        )
    where = ", ".join(place for place, _ in layers)
    datasets = datasets_of(entries_of["datasets"], where)
    return Catalogues(datasets, weights_of(entries_of["weights"]), replaced)


def of_config(config: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The files of a plain config, and the entries in it."""
    return [config["catalogue"], *config.get("catalogues", ())], dict(config.get("datasets", {}))


def as_variables(files: Sequence[str], entries: Mapping[str, Any]) -> dict[str, str]:
    """The environment that tells jobs of the catalogues: see `from_variables`."""
    whole = [str(Path(file).absolute()) for file in files]
    return {FILES: json.dumps(whole), ENTRIES: json.dumps(entries, sort_keys=True)}


def from_variables() -> tuple[list[str], dict[str, Any]] | None:
    """The files and entries that the workflow tells; None where it tells none."""
    if FILES not in os.environ:
        return None
    return from_variable(os.environ[FILES]), json.loads(os.environ.get(ENTRIES, "{}"))
