"""What needs no learning of a run's images (results/shortcuts), in the bundle of the run.

Tables show it beside the models. It is measured on images, so that where there are none it has to
come along. It holds AUROCs and counts of sets, nothing of a single image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.proofs import read_rows
from ssl_ood.evaluation.measure import OODSet
from ssl_ood.evaluation.measurements import COLUMNS, refuse_other_images
from ssl_ood.evaluation.shortcuts.rows import OWN
from ssl_ood.methods.settings import RunSettings
from ssl_ood.study.bundled import SHORTCUTS, files_of_pairs
from ssl_ood.study.pairs import is_of, names_for


def shortcuts_of(
    results: Path, run: RunSettings, measured: Mapping[str, Any]
) -> tuple[dict[str, Path], dict[str, int]]:
    """The members of a bundle for the images of a run, and the versions of their cues; empty where
    no table asked for them. measured: the proof of the run's measurements.

    Raises UserError for a file that is damaged or of other images than the run.
    """
    for name in names_for(run):
        members = {file: results / file for file in files_of_pairs(name)}
        config, rows = members.values()
        if config.is_file() and rows.is_file() and is_of(read_json(config), run):
            return members, prove_shortcuts(results, name, run, measured)["inputs"]["cues"]
    return {}, {}


def prove_shortcuts(
    results: Path, name: str, run: RunSettings, measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The proof of the rows, which are those of the images that a run was trained and tested on.

    Raises UserError where they are not, and ValueError, KeyError or TypeError for a config that
    nobody wrote.
    """
    config, rows = (results / file for file in files_of_pairs(name))
    task = read_json(config)
    if name not in names_for(run) or task["run"] != name or not is_of(task, run):
        raise UserError(f"{config} is not of the images of {run.run}: delete it.")
    table, proof = read_rows(rows, SHORTCUTS, name)
    ood = [OODSet(**entry) for entry in task["ood"]]
    pairs = [(task["in_distribution"], task[f"{role}_split"]) for role in ("train", "test")]
    pairs += [(s.dataset, s.split) for s in ood if s.available]
    expected = {f"{dataset}-{split}" for dataset, split in pairs}
    own = {"run": name, "study": run.study, "in_distribution": run.in_distribution}
    if (
        table.column_names != [*COLUMNS, *OWN]
        or proof["inputs"]["sets"].keys() != expected
        or not all(isinstance(version, int) for version in proof["inputs"]["cues"].values())
        or any(table[key].unique().to_pylist() != [value] for key, value in own.items())
    ):
        raise UserError(f"{rows} holds other rows than {config.name} asks for: delete it.")
    seen: dict[str, tuple[str, Any]] = {}
    for one in (measured, proof):
        refuse_other_images(seen, one)
    return proof
