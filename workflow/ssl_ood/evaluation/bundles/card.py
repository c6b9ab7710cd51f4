"""The model card of a bundle: its README.md, made from the manifest and the measurements."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ssl_ood.common.registry import lookup
from ssl_ood.common.vocabulary import MEASURED
from ssl_ood.evaluation.bundles.layout import CARD, MANIFEST, PROTOCOL
from ssl_ood.study.protocol import Choice

NOT_MEDICAL = (
    "**Not a medical device.** No number of this model is a diagnosis, and none was validated for "
    "clinical use."
)
DIGITS = 4


def model_card(
    manifest: Mapping[str, Any], measured: Sequence[Mapping[str, Any]], choices: Sequence[Choice]
) -> str:
    """The card in markdown. measured: rows of the measurements; choices: of the protocol."""
    parts = [
        f"# Model card: {manifest['run']}",
        NOT_MEDICAL,
        _what(manifest),
        "## What it is for",
        _uses(manifest),
        "## Licence",
        _terms(manifest),
        "## What it was made from",
        _sources(manifest["sources"]),
        "## Measurements",
        _measurements(manifest, measured),
        "## How it was made",
        _made(manifest, choices),
        "## Use",
        _commands(manifest["run"]),
    ]
    return "\n\n".join(parts) + "\n"


def _what(manifest: Mapping[str, Any]) -> str:
    method, config = lookup("method", manifest["method"]), manifest["config"]
    parameters = manifest["training"].get("parameters")
    pairs = [f"{n['source']} ({n['shift'] or 'not shifted'})" for n in config["negatives"]]
    rows = [
        ("method", f"{method.title}: {method.notes}"),
        ("backbone", f"{config['backbone']['name']}, {parameters:,} trained parameters"),
        ("in-distribution", _title(manifest, manifest["in_distribution"])),
        ("images", f"{manifest['size']} x {manifest['size']} pixels"),
        ("negatives", ", ".join(pairs) or "none"),
        ("study, strategy, variant, seed", ", ".join(
            str(manifest[name]) for name in ("study", "strategy", "variant", "seed")
        )),
        ("epochs, steps", f"{config['training']['epochs']}, {manifest['training']['steps']:,}"),
    ]  # fmt: skip
    return (
        "A network that says of an image how unlike it is to those that it was trained on.\n\n"
        + (_table(("", ""), rows))
    )


def _uses(manifest: Mapping[str, Any]) -> str:
    lines = ["With this file one can have:", ""]
    lines += [f"- {words}" for words in manifest["can"].values()]
    lines += ["", "and, by what was left out of it, cannot have:", ""]
    cannot = [f"- {name}: {why}" for name, why in manifest["cannot"].items()]
    lines += cannot or ["- nothing: all was asked for"]
    return "\n".join(lines) + (
        "\n\nA large score means that an image is unlike the training images, whatever the reason: "
        "another camera, another group of patients or a scratch on the film counts as much as an "
        "illness. On images of another source than those below, measure it before you trust it."
    )


def _terms(manifest: Mapping[str, Any]) -> str:
    terms = manifest["terms"]
    because = ", ".join(
        f"{_title(manifest, name)} ({_licence(_source(manifest, name))})"
        for name in terms["because"]
    )
    return (
        "The code is MIT. What holds for the images and weights that this model was made from is "
        f"carried over to it; the most restrictive is: **{terms['kind']}**, because of {because}. "
        f"Forbidden: {terms['forbids'][0].lower()}{terms['forbids'][1:]} This is no legal advice."
    )


def _sources(sources: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{entry['title']} (`{entry['name']}`)",
            ", ".join(entry["roles"]),
            _licence(entry),
            entry["forbids"],
            entry["citation"] or "—",
        )
        for entry in sources
    ]
    return _table(("name", "role", "licence", "what it forbids", "citation"), rows) + (
        f"\n\nChecksums of the archives and of the packed images are in {MANIFEST}."
    )


def _measurements(manifest: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> str:
    evaluation = manifest["evaluation"]
    shown = evaluation["scores"][0]
    rows = []
    for row in measured:
        temperature = row["temperature"]
        is_shown = (
            temperature is None or math.isnan(temperature) or temperature == evaluation["tau"]
        )
        if row["score"] in ("", shown) and is_shown:
            rows.append((row["metric"], row["dataset"] or "—", _value(row), _interval(row)))
    tau = evaluation["tau"] if lookup("score", shown).more.get("temperature") else None
    which = f"score {shown}" + (f" at temperature {tau}" if tau is not None else "")
    return (
        f"By {which}, with intervals of {100 * evaluation['confidence']:g} % over images; all "
        "scores are in `measurements`.\n\n"
        + _table(("metric", "against", "value", "interval"), rows)
    )


def _made(manifest: Mapping[str, Any], choices: Sequence[Choice]) -> str:
    made, training = manifest["made_by"], manifest["training"]
    versions = ", ".join(f"{k} {v}" for k, v in training.get("versions", {}).items() if v)
    lines = [
        f"- trained on {training.get('device', 'an unknown device')} in "
        f"{training.get('seconds', 0):,.0f} s with {versions}",
        f"- bundled by ssl_ood {made['ssl_ood']}, commit {made['commit'] or 'unknown'}",
        f"- weights: SHA-256 `{manifest['weights_sha256']}`",
        f"- all settings: `runs/{manifest['run']}/config.json`, "
        f"`evaluation/{manifest['run']}.json`",
        f"- {len(choices)} choices that the thesis does not print: `{PROTOCOL}`",
    ]
    return "\n".join(lines)


def _commands(run: str) -> str:
    return (
        "```sh\n"
        f"ssl_ood unbundle FILE --results results   # {run} then counts as made\n"
        "```\n\n"
        f"This page ({CARD}) and {MANIFEST}, with size and checksum of every file, lie in the zip."
    )


def _source(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(entry for entry in manifest["sources"] if entry["name"] == name)


def _title(manifest: Mapping[str, Any], name: str) -> str:
    return _source(manifest, name)["title"]


def _licence(entry: Mapping[str, Any]) -> str:
    return entry["licence"] or "not stated"


def _value(row: Mapping[str, Any]) -> str:
    value = row["value"]
    if row["status"] != MEASURED or value is None or math.isnan(value):
        return row["status"].replace("_", " ")
    return f"{value:.{DIGITS}g}"


def _interval(row: Mapping[str, Any]) -> str:
    low, high = row["low"], row["high"]
    if not row["over"] or low is None or high is None or math.isnan(low):
        return "—"
    return f"{low:.{DIGITS}g} to {high:.{DIGITS}g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")
