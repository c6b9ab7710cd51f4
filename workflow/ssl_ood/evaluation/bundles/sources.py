"""What a run was made from: datasets and weights with their checksums, licences and roles.

A run that starts from another run has all of that one's sources, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_ood.common.errors import UserError
from ssl_ood.common.files import read_json
from ssl_ood.datasets.catalogue import Dataset
from ssl_ood.datasets.catalogues import load_catalogues
from ssl_ood.datasets.licences import most_restrictive, terms_of
from ssl_ood.datasets.weights import Weights
from ssl_ood.study.bundled import mark_of

TRAINED, NEGATIVES, INITIAL, TESTED = "trained on", "negatives", "initial weights", "tested on"
DISK = "local"  # the access of images that lie on this disk, whose file names say where


@dataclass(frozen=True)
class Catalogue:
    """The entries of one or more catalogues, the later laid over the earlier."""

    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)


def read_catalogues(
    paths: Sequence[Path | str], entries: Mapping[str, Any] | None = None
) -> Catalogue:
    """The entries of catalogue files, and those that stand in a config. Raises UserError for a
    faulty one."""
    catalogues = load_catalogues(paths, entries)
    return Catalogue(catalogues.datasets, catalogues.weights)


def sources_of(
    results: Path, config: Mapping[str, Any], tested: Iterable[str], catalogue: Catalogue
) -> list[dict[str, Any]]:
    """One entry for each dataset or weights: name, title, roles, licence, forbids, citation and the
    checksums of its archives; licence None: not stated, or the catalogue does not know the name.

    config: runs/RUN/config.json; tested: names of the sets that it is tested against.
    """
    roles: dict[str, set[str]] = {}
    for name, role in _roles(results, config):
        roles.setdefault(name, set()).add(role)
    for name in tested:
        roles.setdefault(name, set()).add(TESTED)
    before = _told(mark_of(results, config["run"]))
    order = (TRAINED, NEGATIVES, INITIAL, TESTED)
    entries = []
    for name in sorted(roles):
        known = catalogue.datasets.get(name) or catalogue.weights.get(name)
        entry = before.get(name) if known is None else _entry(results, known)
        entry = entry or _words(name, name, None, None, [])
        entries.append(entry | {"roles": [role for role in order if role in roles[name]]})
    return entries


def terms_of_all(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The most restrictive terms of what the weights were made from, and because of whom."""
    made_from = [entry for entry in sources if set(entry["roles"]) - {TESTED}]
    worst = most_restrictive(terms_of(entry["licence"]) for entry in made_from)
    because = [e["name"] for e in made_from if terms_of(e["licence"]) == worst]
    return {"kind": worst.kind, "forbids": worst.forbids, "because": because}


def _roles(results: Path, config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What the weights of a run were made from, and as what, along the runs that it starts from."""
    yield config["in_distribution"], TRAINED
    for negative in config["negatives"]:
        yield negative["source"], NEGATIVES
    initial = config.get("initial") or {}
    if "weights" in initial:
        yield initial["weights"], INITIAL
    if "run" not in initial:
        return
    path = results / "runs" / initial["run"] / "config.json"
    if path.is_file():
        yield from _roles(results, read_json(path))
        return
    recorded = _told(mark_of(results, config["run"]))
    if not recorded:
        raise UserError(
            f"{config['run']} starts from the weights of {initial['run']}, but there is no {path}: "
            "without it nobody can say what those weights were made from; bring that run back."
        )
    for name, entry in recorded.items():
        yield from ((name, role) for role in entry["roles"] if role != TESTED)


def _told(mark: Path) -> dict[str, dict[str, Any]]:
    """The sources that the bundle of a run told when it came here, by name."""
    return {entry["name"]: entry for entry in read_json(mark)["sources"]} if mark.is_file() else {}


def _entry(results: Path, known: Dataset | Weights) -> dict[str, Any]:
    archives = [
        {"file": a.file, "bytes": a.bytes, "md5": a.md5, "sha256": a.sha256} for a in known.archives
    ]
    manifest = results / "archives" / f"{known.store}.json"
    if manifest.is_file():  # what was read here; its paths and addresses stay
        recorded = {a["file"]: a for a in read_json(manifest)["archives"]}
        archives = [{key: recorded.get(a["file"], a).get(key) for key in a} for a in archives]
    archives = [{k: v for k, v in a.items() if v is not None} for a in archives]
    if known.access == DISK:
        archives = []
    return _words(known.name, known.title, known.licence, known.citation, archives)


def _words(
    name: str, title: str, licence: str | None, citation: str | None, archives: list
) -> dict[str, Any]:
    terms = terms_of(licence)
    return {
        "name": name,
        "title": title,
        "licence": licence,
        "terms": terms.kind,
        "forbids": terms.forbids,
        "citation": citation,
        "archives": archives,
    }
