"""Measures every declared cue of an in-distribution set against its OOD sets: no model, no GPU.

    ssl_ood shortcuts --config results/shortcuts/PAIRS.json --data results/data \\
        --output results/shortcuts/PAIRS.parquet
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.log import say
from ssl_ood.common.registry import entries
from ssl_ood.datasets.names import CROP, PackedSet
from ssl_ood.datasets.packed import Packed, open_set
from ssl_ood.evaluation.measure import OODSet, groups_of
from ssl_ood.evaluation.sets import writing
from ssl_ood.evaluation.shortcuts.readings import readings
from ssl_ood.evaluation.shortcuts.rows import rows_of, write_shortcuts


def measure_shortcuts(config: Mapping[str, Any], data: Path, output: Path) -> None:
    """Writes the AUROC of every cue. config: see `study.pairs.Pairs.config`; data: the folder of
    the packed sets, which are read in full and proven.

    Raises UserError for a set that is not there, damaged or another one.
    """
    sets = [OODSet(**entry) for entry in config["ood"]]

    def opened(dataset: str, split: str) -> Packed:
        fit = config.get("fit", CROP)
        packed = open_set(data, PackedSet(dataset, split, config["size"], fit))
        say(f"{dataset}-{split}: {len(packed)} images")
        if packed.facts is None:
            say(
                f"{packed.path} was packed by an older version, without the facts of its files: "
                "their cues say not_applicable. Delete the folder to have it packed again, after "
                "which what was made from it is made again."
            )
        return packed

    home = config["in_distribution"]
    train, test = (opened(home, config[f"{role}_split"]) for role in ("train", "test"))
    ood = {s.called: opened(s.dataset, s.split) for s in sets if s.available}
    groups, rows = groups_of(sets), []
    for entry in entries("cue"):
        for reading in readings(entry, train, test, ood):
            rows += rows_of(reading, groups, config["confidence"])
        say(f"{entry.name}: done")
    sets = {f"{s.meta['dataset']}-{s.meta['split']}": s for s in (train, test, *ood.values())}
    inputs = {
        "sets": {name: s.checksums for name, s in sets.items()},
        "facts": {name: s.meta.get("facts_sha256") for name, s in sets.items()},
        "cues": {entry.name: entry.version for entry in entries("cue")},
    }
    identity = {k: config[k] for k in ("run", "study", "in_distribution", "seed")}
    with writing(output):
        write_shortcuts(rows, identity, inputs, output)
