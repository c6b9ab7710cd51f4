"""Runs that came here as a bundle (`ssl_ood unbundle`): they count as made.

Such a run is marked by the manifest of its bundle, runs/RUN/bundle.json. No rule makes its files,
which Snakemake then takes for given, so nothing that they were made from is asked for. What the
config says of the run must be what the bundle says of it. The same holds for what needs no learning
of its images (results/shortcuts), where the bundle brought that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.common.hashing import sha256_of
from ssl_ood.common.registry import entries, lookup
from ssl_ood.common.vocabulary import VERSIONS
from ssl_ood.methods.settings import RunSettings
from ssl_ood.study.runs import Experiments, Run

MARK = "bundle.json"
SHORTCUTS = "shortcuts"  # the folder of what needs no learning, in results and in a bundle


def mark_of(results: Path, run: str) -> Path:
    """The file that says of a run that it came as a bundle: the bundle's manifest."""
    return results / "runs" / run / MARK


def files_of(results: Path, run: str) -> list[Path]:
    """The files of a run that tables, figures and runs that start from it are made from."""
    names = [f"runs/{run}/{name}" for name in ("config.json", "train.json", "model.safetensors")]
    names += [f"evaluation/{run}.json", f"scores/{run}.parquet", f"measurements/{run}.parquet"]
    return [results / name for name in names]


def code_of(settings: RunSettings, scores: list[str]) -> dict[str, int]:
    """The versions of all code that the numbers of a run are a function of."""
    stages = {stage: VERSIONS[stage] for stage in ("features", "evaluate")}
    return settings.code | stages | {f"score {s}": lookup("score", s).version for s in scores}


def code_of_shortcuts(cues: Mapping[str, int]) -> dict[str, int]:
    """The versions of the code that what needs no learning is a function of; cues: by name."""
    stage = {SHORTCUTS: VERSIONS[SHORTCUTS]}
    return stage | {f"cue {name}": version for name, version in cues.items()}


def files_of_pairs(name: str) -> tuple[str, str]:
    """The files of a pair of that name, below a results folder: what was asked for, and rows."""
    return f"{SHORTCUTS}/{name}.json", f"{SHORTCUTS}/{name}.parquet"


def bundled_runs(experiments: Experiments) -> dict[str, tuple[str, ...]]:
    """The runs of a study that came as bundles, with the sets that each was tested on there.

    Raises UserError for one that lacks a file, or was made with other settings than the config has.
    """
    results = Path(experiments.config.results_dir)
    tested = {}
    for run in experiments.runs.values():
        if mark_of(results, run.id).is_file():
            _refuse_incomplete(results, run)
            tested[run.id] = _tested(experiments, run, results)
    return tested


def brought_pairs(experiments: Experiments, runs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The pairs whose shortcuts came with the bundles of `runs`, by name, with the paths of the
    sets that they were measured on there.

    Only those whose files are still a bundle's, and of the sets that the config has: any other is
    made here, or not there.
    """
    results, records = Path(experiments.config.results_dir), set()
    for run in runs:
        records |= {(m["name"], m["sha256"]) for m in read_json(mark_of(results, run))["members"]}
    files = {}
    for name, pairs in experiments.pairs.items():
        if all(_is_told(results, file, records) for file in files_of_pairs(name)):
            config = dict(read_json(results / files_of_pairs(name)[0]))
            there = [entry["available"] for entry in config["ood"]]
            config["ood"] = [entry | {"available": True} for entry in config["ood"]]
            if config == experiments.shortcuts_config(pairs):
                ood = [s for s, is_there in zip(pairs.ood, there, strict=True) if is_there]
                files[name] = tuple(s.path for s in (pairs.train, pairs.test, *ood))
    return files


def _is_told(results: Path, file: str, records: Collection[tuple[str, str]]) -> bool:
    """Whether a file is there, and one that a bundle has brought."""
    if not any(name == file for name, _ in records) or not (results / file).is_file():
        return False
    return (file, sha256_of(results / file)) in records


def older_code(experiments: Experiments, runs: Mapping[str, Any]) -> str:
    """A sentence about those of the bundled `runs` that other code made; "" where none is."""
    results = Path(experiments.config.results_dir)
    others, cues = {}, code_of_shortcuts({entry.name: entry.version for entry in entries("cue")})
    for name in runs:
        run = experiments.runs[name]
        recorded = read_json(mark_of(results, name)).get("code", {})
        now = code_of(run.settings, list(run.evaluation.scores)) | cues
        changed = sorted(
            part for part, version in now.items() if recorded.get(part, version) != version
        )
        if changed:
            others[name] = changed
    if not others:
        return ""
    name, changed = next(iter(others.items()))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return (
        f"{name}{more} came as a bundle that was made by another version of the code "
        f"({', '.join(changed)}): its numbers may differ from those that would be measured now."
    )


def _tested(experiments: Experiments, run: Run, results: Path) -> tuple[str, ...]:
    """The paths of the sets that were there when the bundle's run was evaluated."""
    trained = read_json(results / "runs" / run.id / "config.json")
    _refuse_changed(run, trained, run.training_config, results)
    evaluated = dict(read_json(results / "evaluation" / f"{run.id}.json"))
    expected = experiments.evaluation_config(run)
    there = [entry.get("available", True) for entry in evaluated["ood"]]
    evaluated["ood"] = [
        {key: value for key, value in entry.items() if key != "available"}
        for entry in evaluated["ood"]
    ]
    _refuse_changed(run, evaluated, expected, results)
    return tuple(s.path for s, is_there in zip(run.tested, there, strict=True) if is_there)


def _refuse_incomplete(results: Path, run: Run) -> None:
    for path in files_of(results, run.id):
        if not path.is_file():
            raise UserError(
                f"{run.id} came as a bundle, and {path} of it is gone: bring it back by `ssl_ood "
                f"unbundle --force`, or delete {mark_of(results, run.id).parent}, after which the "
                "workflow trains the run itself."
            )


def _refuse_changed(
    run: Run, recorded: Mapping[str, Any], expected: Mapping[str, Any], results: Path
) -> None:
    changed = list(_differences(recorded, expected))
    if changed:
        raise UserError(
            f"{run.id} came as a bundle with another {', '.join(changed[:5])} than the config has: "
            "set the config back to the bundle's, or delete "
            f"{mark_of(results, run.id).parent}, after which the workflow trains the run itself."
        )


def _differences(recorded: Any, expected: Any, place: str = "") -> list[str]:
    """The dotted places at which two values of JSON differ."""
    if isinstance(recorded, Mapping) and isinstance(expected, Mapping):
        return [
            difference
            for key in sorted(recorded.keys() | expected.keys())
            for difference in _differences(
                recorded.get(key), expected.get(key), f"{place}.{key}" if place else key
            )
        ]
    if isinstance(recorded, tuple | list) and isinstance(expected, tuple | list):
        same = list(recorded) == list(expected)
    else:
        same = recorded == expected
    return [] if same else [place]
