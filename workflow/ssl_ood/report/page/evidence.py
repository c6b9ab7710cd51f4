"""Where the numbers of the page come from: an entry for every record that a cell shows, and of
every run its rows of measurements, settings, images with their checksums, and commit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.report.chain import MEASUREMENTS, Chains, Origin
from ssl_ood.report.layout import Table

UNITS = {"percent": " %", "points": " points", "bits": " bits", "nats": " nats", "hours": " h"}
FILES = (
    "runs/{run}/config.json",
    "runs/{run}/train.json",
    "runs/{run}/log.jsonl",
    "runs/{run}/model.safetensors",
    "evaluation/{run}.json",
    "scores/{run}.parquet",
    "measurements/{run}.parquet",
)


@dataclass(frozen=True)
class Entry:
    """A row of a table's csv file. words: what it is of; value: in full precision, with its unit;
    interval: in words; status: where nothing was measured; origins: the rows that it is the mean
    of; runs: those that it is made from, where it is no such mean."""

    row: int
    words: str
    value: str
    interval: str
    status: str
    reported: str
    origins: tuple[Origin, ...]
    runs: tuple[str, ...]


def entries_of(table: Table, chains: Chains) -> dict[int, Entry]:
    """The entries of the records that cells of a table show, by row of its csv file."""
    shown = sorted({index for row in table.rows for cell in row for index in cell.of})
    entries = (_entry(index, table, chains) for index in shown)
    return {entry.row: entry for entry in entries if entry.value or entry.reported}


def _entry(index: int, table: Table, chains: Chains) -> Entry:
    record = table.records[index]
    origins = tuple(chains.origins(table.name, record))
    runs = tuple(run for run in record.get("runs", "").split(";") if run)
    if "claim" in record:
        return _claim(index, record, runs or chains.runs(table.name))
    value, unit = record.get("measured"), UNITS.get(record.get("unit", ""), "")
    return Entry(
        index,
        _words(record),
        f"{value}{unit}" if value else "",
        _interval(record, unit),
        record.get("status", ""),
        f"{record['reported']}{unit}" if record.get("reported") else "",
        origins,
        () if origins else runs,
    )


def _claim(index: int, record: dict[str, str], runs: tuple[str, ...]) -> Entry:
    """Of a claim: its verdict and reason; of a table's runs where it names none."""
    words = "; ".join(filter(None, [record["claim"], record["reason"]]))
    value = " ".join(record["measured"].split())
    reported = record["reported"] if value else ""
    return Entry(index, words, value, "", record["verdict"], reported, (), runs if value else ())


def _words(record: dict[str, str]) -> str:
    """What a record is of: `auroc; cifar10; negatives none; against svhn`."""
    parts = [record.get("metric", ""), record.get("in_distribution", "")]
    if record.get("system", "ours") != "ours":
        parts.append(record["system"])
    if record.get("strategy"):
        parts.append(f"negatives {record['strategy']}")
    if record.get("variant") not in (None, "", "base"):
        parts.append(f"variant {record['variant']}")
    if record.get("dataset"):
        parts.append(f"against {record['dataset']}")
    if record.get("score"):
        at = f" at τ = {record['temperature']}" if record.get("temperature") else ""
        parts.append(f"score {record['score']}{at}")
    return "; ".join(part for part in parts if part)


def _interval(record: dict[str, str], unit: str) -> str:
    if not record.get("low") or not record.get("high"):
        return ""
    over = record.get("over", "")
    return f"[{record['low']}, {record['high']}]{unit}" + (f" over {over}" if over else "")


# ---- runs


@dataclass(frozen=True)
class RunFacts:
    """A run that the page shows numbers of. facts: by title; sets: (folder below data/, SHA-256 of
    the images, of the labels); files: below the results folder; rows: of its measurements, those
    that numbers of the page rest on; settings: as JSON."""

    run: str
    words: str
    facts: dict[str, str]
    sets: tuple[tuple[str, str, str], ...]
    files: tuple[str, ...]
    rows: tuple[Origin, ...]
    settings: str


def used_origins(entries: Iterable[Entry]) -> dict[str, dict[str, dict[int, Origin]]]:
    """The rows that entries rest on: by folder of their file, by run, by row."""
    found: dict[str, dict[str, dict[int, Origin]]] = {}
    for entry in entries:
        for run in entry.runs:
            found.setdefault(MEASUREMENTS, {}).setdefault(run, {})
        for origin in entry.origins:
            folder = origin.file.partition("/")[0]
            found.setdefault(folder, {}).setdefault(origin.run, {})[origin.row] = origin
    return found


def run_facts(run: str, rows: dict[int, Origin], chains: Chains) -> RunFacts:
    """All that is known of a run. Raises UserError for a file that is missing or damaged."""
    told, settings = chains.training(run), chains.settings(run)
    _, proof = chains.measured(run)
    versions = told["versions"]
    seconds, speed = told["seconds"], told.get("images_per_second")
    facts = {
        "Trained on": f"{settings['in_distribution']}, {settings['size']} pixels, by "
        f"{settings['method']}, negatives {settings['strategy']}, variant {settings['variant']}, "
        f"seed {settings['seed']}",
        "Commit": versions.get("commit") or "not known: trained outside of a clone",
        "Versions": ", ".join(f"{k} {v}" for k, v in versions.items() if k != "commit" and v),
        "Training": f"{told['steps']:,} steps in {seconds:,.1f} s on {told['device']}"
        + (f", {speed:,.0f} images/s" if speed else ""),
        "Weights": f"SHA-256 {told['weights_sha256']}",
        "Scores": f"SHA-256 of the rows {proof['inputs'].get('scores', 'not known')}",
        "Measurements": f"SHA-256 of the rows {proof['rows']}",
    }
    sets = chains.image_sets(run)
    return RunFacts(
        run,
        f"{settings['method']}, {settings['strategy']}, {settings['variant']}, "
        f"seed {settings['seed']}",
        facts,
        tuple((path, c["images"], c.get("labels", "")) for path, c in sorted(sets.items())),
        _there(chains, run),
        tuple(rows[index] for index in sorted(rows)),
        json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False),
    )


def _there(chains: Chains, run: str) -> tuple[str, ...]:
    """The files of a run that are there."""
    places = (place.format(run=run) for place in FILES)
    return tuple(place for place in places if (chains.results / place).exists())


def set_facts(paths: Iterable[str], chains: Chains, catalogue: dict[str, Any]) -> list[dict]:
    """The packed sets: folder, title, licence, images, checksum, and the files that they are from.

    Raises UserError where a set that is there is not the one that a run saw.
    """
    found = []
    for path in sorted(set(paths)):
        dataset = catalogue.get(path.partition("/")[0])
        meta = chains.results / "data" / path / "meta.json"
        told = read_json(meta) if meta.exists() else {}
        found.append(
            {
                "path": path,
                "title": dataset.title if dataset else path.partition("/")[0],
                "licence": (dataset and dataset.licence) or "not known",
                "count": told.get("count"),
                "images": told.get("images_sha256", ""),
                "sources": [(s["file"], s["sha256"]) for s in told.get("source", [])][:20],
            }
        )
    return found


def refuse_other_images(facts: Iterable[RunFacts], sets: Iterable[dict[str, Any]]) -> None:
    """Raises UserError where the images that lie in data/ are not those that a run saw."""
    there = {s["path"]: s["images"] for s in sets if s["images"]}
    for run in facts:
        for path, images, _ in run.sets:
            if there.get(path, images) != images:
                raise UserError(
                    f"{run.run} was made from other images of {path} than those that are there: "
                    "run the workflow again."
                )
