"""What a study will cost, before it is spent, and what it has cost.

    ssl_ood plan table_negative_sampling          # of config.yaml; `snakemake plan` for all
    ssl_ood costs --output results/tables/costs   # `snakemake costs`

GPU hours come from the images that the trainings see and `execution.images_per_second` of the
config, or, where trainings of the same kind have ended here, their own speed, or where it was
measured (`ssl_ood plan --hours`), that. A run that several
tables share counts for each of them, and once in the sum. Only the size of a network needs torch.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.proofs import is_whole
from ssl_ood.datasets.places import missing_restricted, present
from ssl_ood.study.gaps import describe_gaps, find_gaps
from ssl_ood.study.networks import check_networks, size_of
from ssl_ood.study.runs import Experiments, Run, Target, needed_sets, shown_runs, with_initial
from ssl_ood.study.slurm_costs import Job, Used, slurm_columns, used_by_jobs
from ssl_ood.study.speeds import measured

FLOAT, DOUBLE = 4, 8  # bytes
KEPT_STATES = 3  # checkpoints of a training: two, and a third while it is written


@dataclass(frozen=True)
class Disk:
    """Bytes that a plan needs beside what is there."""

    downloads: int
    packed: int
    runs: int  # weights, features and scores
    checkpoints: int  # while all the trainings run at once
    unknown: tuple[str, ...]  # datasets whose number of images nobody knows


def trained_for(targets: Iterable[Target]) -> list[Run]:
    """The runs that have to be trained for these targets, with those that they start from."""
    return list({run.id: run for run in with_initial(shown_runs(targets))}.values())


def _beside(known: Iterable[Run], runs: Iterable[Run]) -> list[Run]:
    """Those of the runs that are none of the known ones."""
    names = {run.id for run in known}
    return [run for run in runs if run.id not in names]


# ---- before


def to_train(experiments: Experiments, runs: Iterable[Run]) -> list[Run]:
    """The runs that were not trained to the end with their present settings."""
    return [run for run in runs if not _trained(experiments, run)]


def _trained(experiments: Experiments, run: Run) -> bool:
    folder = Path(experiments.config.results_dir) / "runs" / run.id
    return _json(folder / "config.json") == run.training_config and (folder / "train.json").exists()


def speeds(experiments: Experiments) -> dict[tuple[str, str], float]:
    """Images per second of one device, by (study, dataset): the median of the trainings ended here,
    each as with one negative per image (`RunSettings.work`); where none has, what was measured.

    On the device that the config asks for: a training on the processor says nothing of a GPU.
    """
    on_gpu = experiments.config.execution.devices > 0
    by_dataset: dict[tuple[str, str], list[float]] = {}
    for run in experiments.runs.values():
        cost = cost_of(experiments, run)
        if cost and cost["images_per_second"] and (cost["device_peak_bytes"] is not None) == on_gpu:
            speed = run.settings.work * cost["images_per_second"] / cost.get("devices", 1)
            by_dataset.setdefault((run.study, run.in_distribution), []).append(speed)
    ended = {key: statistics.median(values) for key, values in by_dataset.items()}
    return measured(experiments) | ended


def device_hours(experiments: Experiments, run: Run, known: dict) -> float:
    """Hours of one device that the training takes; more negatives an image take longer."""
    images = experiments.images(run) * run.settings.training.epochs * run.settings.work
    assumed = experiments.config.execution.images_per_second
    return images / known.get((run.study, run.in_distribution), assumed) / 3600


def disk_needed(experiments: Experiments, runs: list[Run]) -> Disk:
    """What the runs need on the disk beside the packed sets and archives that are there."""
    config = experiments.config
    data = Path(config.results_dir) / "data"
    sets = {s.path: s for run in runs for s in needed_sets(run)}.values()
    absent = [s for s in sets if not (data / s.path / "meta.json").exists()]
    return Disk(
        downloads=sum(size for _, size in to_download(experiments, runs)),
        packed=sum(experiments.count(s) * s.size**2 * 3 for s in absent),
        runs=sum(_results_of(experiments, run) for run in runs),
        checkpoints=sum(KEPT_STATES * 4 * FLOAT * size_of(run.settings).parameters for run in runs),
        unknown=tuple(sorted({s.dataset for s in sets if not experiments.count(s)})),
    )


def _results_of(experiments: Experiments, run: Run) -> int:
    """Bytes of the teacher, its copy beside the checkpoints, the features and the scores."""
    tested = [run.test, *run.tested, *([] if run.calibration is None else [run.calibration])]
    images = sum(map(experiments.count, [run.train, *tested]))
    scores = len(run.evaluation.taus) + 6
    scored = sum(map(experiments.count, tested)) * scores * DOUBLE
    size = size_of(run.settings)
    return 2 * FLOAT * size.parameters + images * size.features * FLOAT + scored


def to_download(experiments: Experiments, runs: Iterable[Run]) -> list[tuple[str, int]]:
    """(dataset or weights, bytes) of what the workflow would fetch itself."""
    config = experiments.config
    sets = {s.dataset for run in runs for s in needed_sets(run)}
    weights = {run.weights for run in runs if run.weights}
    sources = [experiments.datasets[name] for name in sorted(sets)]
    sources += [experiments.weights[name] for name in sorted(weights)]
    stores = {}
    for source in sources:
        absent = [
            archive.bytes or 0
            for archive in source.archives
            if not archive.package
            and not archive.optional
            and not present(
                source, archive, Path(config.downloads_dir), map(Path, config.archive_dirs)
            )
        ]
        if source.free and absent:
            stores[source.store] = sum(absent)
    return list(stores.items())


def chosen_targets(experiments: Experiments, names: list[str]) -> list[Target]:
    """The targets that a person means, each once; a study of own images is all of its own."""
    named: dict[str, Target] = {}
    for name in names:
        if name in experiments.own:
            named |= {target.name: target for target in experiments.of_study(name)}
        elif name in experiments.targets:
            named[name] = experiments.targets[name]
        else:
            there = ", ".join([*experiments.own, *experiments.targets])
            raise UserError(f"There is no table or figure {name!r}: there are {there}.")
    return list(named.values())


def describe_plan(experiments: Experiments, names: list[str]) -> str:
    """What making these targets takes, for a person to read; if none is named, those of `all`,
    and beside them what each optional one takes.

    names: tables, figures, studies of own images. Raises UserError for another name.
    """
    targets = chosen_targets(experiments, names) or experiments.usual
    aside = [] if names else [t for t in experiments.targets.values() if t.optional]
    gaps = find_gaps(experiments)
    every = trained_for(targets)
    runs = gaps.runs(every)
    more = {t.name: gaps.runs(_beside(every, trained_for([t]))) for t in aside}
    execution, known_speeds = experiments.config.execution, speeds(experiments)
    counted = every + [run for chosen in more.values() for run in chosen]
    hours = {run.id: device_hours(experiments, run, known_speeds) for run in counted}
    pending = {run.id for run in to_train(experiments, gaps.runs(counted))}
    unit = "GPU hours" if execution.devices else "CPU hours"
    rows = [("", "trainings", "to train", unit)]
    planned = [(target.name, gaps.runs(trained_for([target]))) for target in targets]
    optional = [(f"more for {name} (optional)", chosen) for name, chosen in more.items()]
    for name, chosen in [*planned, ("together", runs), *optional]:
        left = [run.id for run in chosen if run.id in pending]
        total = sum(hours[run] for run in left)
        rows.append((name, str(len(chosen)), str(len(left)), f"{total:,.3g}"))
    left = [run for run in runs if run.id in pending]
    speed = f"{execution.images_per_second:,.0f} images/s a device (execution.images_per_second)"
    known = [f"{study} {name} {v:,.0f}" for (study, name), v in sorted(known_speeds.items())]
    parts = [
        aligned(rows),
        f"Speed: {speed}"
        + (f"; measured here: {', '.join(known)} images/s" if known else "")
        + ".",
        _disk_lines(experiments, left),
    ]
    waiting = describe_gaps(gaps, targets, hours, unit)
    datasets = _dataset_lines(experiments, gaps.made_here(every))
    return "\n\n".join(filter(None, [*parts, datasets, waiting]))


def describe_networks(experiments: Experiments) -> str:
    """Every distinct network of the study with its size, for a person to read.

    Raises UserError for one that cannot be built.
    """
    rows = [("network", "parameters", "of the backbone", "features", "runs")]
    for size, runs in check_networks(experiments.runs.values()):
        counts = (size.parameters, size.backbone, size.features, len(runs))
        name = f"{runs[0].method} {runs[0].settings.backbone.name} ({runs[0].study})"
        rows.append((name, *(f"{count:,}" for count in counts)))
    return aligned(rows)


def _disk_lines(experiments: Experiments, runs: list[Run]) -> str:
    disk = disk_needed(experiments, runs)
    rows = [
        ("disk needed", "GB"),
        ("archives to download", f"{disk.downloads / 1e9:,.2f}"),
        ("packed sets", f"{disk.packed / 1e9:,.2f}"),
        ("weights, features, scores", f"{disk.runs / 1e9:,.2f}"),
        ("checkpoints, if all train at once", f"{disk.checkpoints / 1e9:,.2f}"),
    ]
    note = f"\nof unknown size: {', '.join(disk.unknown)}" if disk.unknown else ""
    return aligned(rows) + note


def _dataset_lines(experiments: Experiments, runs: list[Run]) -> str:
    config = experiments.config
    sets = [s for run in runs for s in needed_sets(run)]
    datasets = [experiments.datasets[name] for name in sorted({s.dataset for s in sets})]
    missing = config.strict and missing_restricted(
        datasets, list(map(Path, config.archive_dirs)), Path(config.downloads_dir)
    )
    fetched = ", ".join(name for name, _ in to_download(experiments, runs))
    lines = [f"Datasets that the workflow fetches itself: {fetched}."] if fetched else []
    return "\n".join(lines + ([missing] if missing else []))


# ---- after


def cost_of(experiments: Experiments, run: Run) -> dict[str, Any] | None:
    """What the training of the run told at its end, or None."""
    path = Path(experiments.config.results_dir) / "runs" / run.id / "train.json"
    cost = _json(path)
    return cost if isinstance(cost, dict) and is_whole(cost) else None


def costs(experiments: Experiments) -> list[dict[str, Any]]:
    """One row per table or figure that has runs, and the sum in which each run counts once.

    An optional one has a row once a run that it alone needs has been trained. Where SLURM's
    accounting knows jobs of these runs, the rows also have `slurm_costs.COLUMNS`.
    """
    usual = trained_for(experiments.usual)

    def counts(target: Target) -> bool:
        alone = _beside(usual, trained_for([target]))
        return not target.optional or any(cost_of(experiments, run) for run in alone)

    targets = [target for target in experiments.targets.values() if counts(target)]
    used = used_by_jobs(Path(experiments.config.results_dir), trained_for(targets))
    rows = [
        _cost_row(experiments, target.name, trained_for([target]), used)
        for target in targets
        if trained_for([target])
    ]
    return [*rows, _cost_row(experiments, "together", trained_for(targets), used)]


def _cost_row(
    experiments: Experiments, name: str, runs: list[Run], used: Mapping[str, Mapping[Job, Used]]
) -> dict[str, Any]:
    told = [t for t in (cost_of(experiments, run) for run in runs) if t]
    peaks = [t["device_peak_bytes"] for t in told if t["device_peak_bytes"]]
    seconds = sum(map(_spent, told))
    return {
        "target": name,
        "runs": len(runs),
        "trained": len(told),
        "training_hours": seconds / 3600,
        "device_hours": sum(_spent(t) * t.get("devices", 1) for t in told) / 3600,
        "evaluation_hours": _benchmark_hours(experiments, "evaluate", runs),
        "images_per_second": sum((t["images_per_second"] or 0) * _spent(t) for t in told) / seconds
        if seconds
        else None,
        "interruptions": sum(len(t["resumed_at_steps"]) for t in told),
        "repeated_steps": sum(t.get("repeated_steps", 0) for t in told),
        "host_peak_gb": max((t["host_peak_bytes"] for t in told), default=0) / 1e9,
        "device_peak_gb": max(peaks, default=0) / 1e9 if peaks else None,
        **slurm_columns(used, runs),
        "devices": "; ".join(sorted({t["device"] for t in told})),
    }


def _spent(cost: dict[str, Any]) -> float:
    """Seconds of a training, with those of the steps that killed attempts had done in vain."""
    steps = cost.get("steps")
    return cost["seconds"] * (1 + cost.get("repeated_steps", 0) / steps if steps else 1)


def evaluation_seconds(experiments: Experiments) -> float:
    """Wall time of an evaluation here, the median; 0 where none has ended."""
    runs = experiments.runs.values()
    return statistics.median(_benchmark_seconds(experiments, "evaluate", runs) or [0.0])


def _benchmark_hours(experiments: Experiments, rule: str, runs: Iterable[Run]) -> float:
    """Wall time of a rule for the runs, from Snakemake's benchmark files."""
    return sum(_benchmark_seconds(experiments, rule, runs)) / 3600


def _benchmark_seconds(experiments: Experiments, rule: str, runs: Iterable[Run]) -> list[float]:
    folder = Path(experiments.config.results_dir) / "benchmarks" / rule
    paths = [path for run in runs if (path := folder / f"{run.id}.jsonl").exists()]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [float(json.loads(line)["s"]) for line in lines]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Rows as columns for a person to read, the first to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )
